"""The new revision is made, and serves nobody yet."""
