"""The new revision answers, and the database holds what it needs."""
