"""The schema moves, and is kept before and after."""
