"""What people read, rendered from the events."""
