"""The two processes of the embedded platform: `python -m pytest_deploy.platform.embedded supervise|guard ...`."""

import sys
from pathlib import Path

from pytest_deploy.platform.embedded import supervisor

if __name__ == "__main__":
    _, role, *words = sys.argv
    if role == "supervise":
        supervisor.main(*words)
    else:
        supervisor.guard(words[0], Path(words[1]))
