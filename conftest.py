"""Nothing: a deployment reads suites/conftest.py alone, which may hold hooks (`pytest_deploy_*`); tests have tests/conftest.py."""
