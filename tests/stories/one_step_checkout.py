"""A checkout whose suites hold one step, so that a whole run costs little more than the start of pytest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import Step
from tests.project_checkout import Checkout
from tests.stories.endings import ENDINGS, Ending

STEP = Step("suites/smoke/test_ending.py::test_ending", "smoke", "always", changes=False)
BEFORE = Step("suites/preflight/test_before.py::test_before", "preflight", "always", changes=False)
IMPORTS = "import os\nimport signal\nimport subprocess\nimport sys\nimport threading\nimport time\n\nimport pytest\n\n"


@contextmanager
def one_step_checkout(folder: Path) -> Iterator[Checkout]:
    """Make it in `folder`; nothing was ever deployed from it, and one run has passed."""
    with Checkout.open(folder) as checkout:
        for suites in ("suites", "pytest_deploy/suites"):
            for file in (checkout.path / suites).glob("*/test_*.py"):
                file.unlink()
        checkout.write("suites/preflight/test_before.py", "def test_before():\n    assert True\n")
        checkout.write("suites/steps.lock", steps_lock.render([BEFORE, STEP]))
        set_step(checkout, ENDINGS[0])
        checkout.commit("One step")
        ran = checkout.run("--deploy-env=local", "--deploy-pipeline=smoke")
        assert ran.code == 0, ran.said
        yield checkout


def serving(checkout: Checkout) -> tuple[list[str], object]:
    """What the embedded platform keeps of the environment: its revisions, and who gets the traffic."""
    kept = checkout.bytes_below(".deploy/platform/local/diary")
    return sorted(name for name in kept if name.startswith("revisions/")), json.loads(kept["service.json"])["traffic"]


def set_step(checkout: Checkout, ending: Ending) -> None:
    """Let the one step end so."""
    step = f"{ending.mark}\ndef test_ending({ending.needs}):\n    {ending.call}\n"
    checkout.write("suites/smoke/test_ending.py", f"{IMPORTS}{ending.module}\n\n{step}")
    checkout.write("suites/conftest.py", ending.conftest + "\n")
