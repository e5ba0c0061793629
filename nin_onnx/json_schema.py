"""The version of what `--json` prints, the same for every command."""

__all__ = ["SCHEMA"]

SCHEMA = 2
"""What `schema`, the first key of every `--json` output, is now.

It is raised if a key is renamed or removed, or if its value changes its type or its meaning. A new key does not raise it.
"""
