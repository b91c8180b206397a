"""A FILE A COMMAND: what `pytest-deploy WORD` does."""
