"""`python deploy.py COMMAND`: the same as the console script `pytest-deploy`."""

from pytest_deploy.cli import main

if __name__ == "__main__":
    main()
