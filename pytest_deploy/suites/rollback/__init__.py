"""What was changed is undone."""
