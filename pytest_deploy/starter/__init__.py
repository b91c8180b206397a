"""What `pytest-deploy init` reads in somebody's repository, and the files that it writes there."""
