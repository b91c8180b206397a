"""`python -m pytest_deploy COMMAND`: the same as the console script, where that is not on PATH."""

from pytest_deploy.cli import main

if __name__ == "__main__":
    main()
