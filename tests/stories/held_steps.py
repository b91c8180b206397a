"""A step that is held up at a place one can wait for: before it does its work, or after it has done it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.child_process import Running
from tests.project_checkout import Checkout

Place = Literal["before", "after"]

_FIXTURE = '''

@pytest.fixture(autouse=True)
def held_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """HeldLease up {place} its work, for a test of pytest-deploy itself."""
    here = request.node.nodeid == {nodeid!r}
    if here and {place!r} == "before":
        _hold()
    yield
    if here and {place!r} == "after":
        _hold()


def _hold() -> None:
    if {deaf!r}:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    whole = Path(__file__).with_name("held.part")
    whole.write_text(str(os.getpid()))
    whole.rename(whole.with_name("held"))
    time.sleep({seconds!r})
'''
_IMPORTS = "import os\nimport signal\nimport time\nfrom collections.abc import Iterator\nfrom pathlib import Path\n"


@dataclass(frozen=True)
class HeldLease:
    """Where a step is held up."""

    checkout: Checkout

    def until_there(self, run: Running, timeout: float = 120) -> int:
        """Wait until the step is where it is held up; the process id of who runs it."""
        told = self.checkout.path / "suites" / "held"
        run.until(told.exists, timeout)
        return int(told.read_text())


def hold_up(checkout: Checkout, nodeid: str, place: Place, *, seconds: float = 60, deaf: bool = False) -> HeldLease:
    """Hold a step up for so many seconds; a deaf one hears no signal meanwhile, as code that never returns to Python."""
    conftest = checkout.path / "suites" / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    head, _, rest = text.partition("from collections.abc import Callable\n")
    held = _FIXTURE.format(nodeid=nodeid, place=place, seconds=seconds, deaf=deaf)
    conftest.write_text(f"{head}{_IMPORTS}from collections.abc import Callable\n{rest}{held}", encoding="utf-8")
    checkout.commit(f"{nodeid} is held up")
    return HeldLease(checkout)
