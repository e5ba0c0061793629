"""The report in its formats, a file each."""
