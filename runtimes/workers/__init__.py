"""Processes of their own for runtimes: the job that one is given, and the result that comes back."""
