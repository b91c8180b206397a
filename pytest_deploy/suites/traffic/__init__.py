"""Users are led to the new revision."""
