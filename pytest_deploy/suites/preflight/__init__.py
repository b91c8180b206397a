"""Whether it may go now, and whether it could be undone."""
