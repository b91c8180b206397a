"""What `pytest-deploy doctor` asks: each fact a function, in a list; none starts a platform or writes into a record."""
