"""This project's deployment hooks (`pytest_deploy_*`) go here; it needs none. It declares no `pytest_plugins`."""
