"""WHO ALLOWED IT: people and their keys, what they sign, and whether that is enough."""
