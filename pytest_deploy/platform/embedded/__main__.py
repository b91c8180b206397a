"""The two processes of the embedded platform: `python -m pytest_deploy.platform.embedded supervise|guard ...`."""

import sys
from pathlib import Path

from pytest_deploy.platform.embedded import supervisor
from pytest_deploy.platform.embedded.places import Places

if __name__ == "__main__":
    _, role, *words = sys.argv
    if role == "supervise":
        supervisor.main(*words)
    else:
        supervisor.guard(words[0], Places(Path(words[1]), Path(words[2])))
