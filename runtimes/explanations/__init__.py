"""What else there is to know of a verdict: why a runtime may be wrong, and how a variant decides beside its source."""
