"""PYTEST'S SIDE: the one folder that imports pytest."""
