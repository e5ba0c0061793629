"""The runtimes, a file each, and what they share: `base`, `registry`, `npm` and `javascript_host`."""
