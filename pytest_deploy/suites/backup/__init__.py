"""A backup before the first change."""
