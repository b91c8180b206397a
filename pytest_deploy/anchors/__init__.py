"""WHO ELSE KNOWS: what is said of the record outside it."""
