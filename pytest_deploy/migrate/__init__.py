"""How the schema moves: read, snapshot, apply, roll back, back up."""
