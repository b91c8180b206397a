"""What can end a deployment: by what a step, fixture, hook, thread, child process, reader, signal or exit call does.

Each is tried alone and with two workers, as the one step of a smoke run; `test_endings.py` walks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Record = Literal["closed", "open", "none"]
"""What is left in the record: a sealed run, an open one that `recover` finishes, or no run at all."""


@dataclass(frozen=True)
class End:
    """How the process and the run ended."""

    code: int
    outcome: str = ""
    """As decided; empty where nothing was."""
    record: Record = "closed"
    said: str = ""
    """Words on the terminal, or on standard error."""
    cause: str = ""
    """Words of the decided cause."""


PASSED = End(0, "passed")
FAILED = End(1, "not-passed")
DIED = End(1, "not-passed", cause='smoke failed: "ending"')
"""A worker died: its step failed, and the run went on to its end."""


BY_HAND = r"record.attach('x', b''); open(os.fsencode(record.folder.path) + b'/\xff', 'w').close(); open(record.folder.path / 'a\nb', 'w').close(); os.mkfifo(record.folder.path / 'pipe')"
ASIDE = End(0, "passed", said="/a\\nb has a control character or a backslash in its name; it lies now at .set-aside/")


def failed(said: str) -> End:
    return End(1, "not-passed", said=said)


def open_after(said: str) -> End:
    """Nobody sealed the run: the guard says so, and what to do."""
    return End(20, "", "open", said)


def nothing(code: int, said: str) -> End:
    """No run was ever opened."""
    return End(code, "", "none", said)


@dataclass(frozen=True)
class Ending:
    """One way to end, and what follows from it."""

    name: str
    alone: End
    workers: End
    call: str = "pass"
    """The step's body."""
    module: str = ""
    """At the step file's top level."""
    mark: str = ""
    """The step's decorator."""
    needs: str = ""
    """The step's fixture."""
    conftest: str = ""
    """Appended to suites/conftest.py."""
    settings: tuple[str, ...] = ()
    line: str = "{}"
    """How a shell starts it; its exit code is that of the deployment."""
    within_s: float = 30.0
    """An end that takes longer is a hang. Of seconds of this machine when it is busy."""
    sample: bool = False
    """Whether `make test` tries it, alone."""


LIMIT = "@pytest.mark.step(timeout=1)"
SLEEPS = "time.sleep(300)"
HEAD = "{} | head -1; exit ${{PIPESTATUS[0]}}"
HEAD_OF_BOTH = "{} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
FIXTURE = "@pytest.fixture{scope}\ndef f():\n    {before}\n    yield\n    {after}\n"


def fixture(*, before: str = "pass", after: str = "pass", scope: str = "") -> str:
    return FIXTURE.format(before=before, after=after, scope=f"(scope={scope!r})" if scope else "")


RUNS_NOTHING = "class P:\n    @pytest.hookimpl(tryfirst=True)\n    def pytest_pyfunc_call(self): return True\n"


ENDINGS = (
    Ending("nothing special", PASSED, PASSED),
    # --- exit calls
    Ending("os._exit(0) in a step", open_after("it exited with 0"), DIED, "os._exit(0)", sample=True),
    Ending("os._exit(0) in a set-up", open_after("it exited with 0"), DIED, module=fixture(before="os._exit(0)"), needs="f"),
    Ending("os._exit(0) in a tear-down", open_after("it exited with 0"), DIED, module=fixture(after="os._exit(0)"), needs="f"),
    Ending("os._exit(0) when a step file is imported", nothing(3, "nothing was deployed"), nothing(3, ""), module="os._exit(0)"),
    Ending("os._exit(0) when a conftest is imported", nothing(3, "nothing was deployed"), nothing(3, "nothing was deployed"),
           conftest="import os; os._exit(0)"),
    Ending("os._exit(0) at the process's exit, after a failure", FAILED, FAILED, "assert False", module="import atexit; atexit.register(os._exit, 0)"),
    Ending("os._exit(7) at the process's exit", PASSED, PASSED, module="import atexit; atexit.register(os._exit, 7)"),
    Ending("os._exit(0) in a thread", open_after("it exited with 0"), DIED, "threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(5)"),
    Ending("exec of another program", open_after("it exited with 0"), DIED, "os.execv('/bin/true', ['true'])"),
    Ending("sys.exit(0)", failed("SystemExit: 0"), failed("SystemExit: 0"), "sys.exit(0)"),
    Ending("sys.exit(0) in a tear-down", FAILED, FAILED, module=fixture(after="sys.exit(0)"), needs="f"),
    Ending("pytest.exit with 0", End(1, "not-passed", cause="ending: it ended the session: _pytest.outcomes.Exit: enough"),
           End(1, "not-passed", cause="it ended the session: _pytest.outcomes.Exit: enough"), "pytest.exit('enough', returncode=0)"),
    Ending("KeyboardInterrupt", End(1, "not-passed", cause="it ended the session: KeyboardInterrupt"),
           End(1, "not-passed", cause="it ended the session: KeyboardInterrupt"), "raise KeyboardInterrupt"),
    Ending("GeneratorExit", failed("GeneratorExit"), failed("GeneratorExit"), "raise GeneratorExit"),
    Ending("os.abort", open_after("SIGABRT ended it"), DIED, "os.abort()"),
    # --- signals
    Ending("SIGKILL to itself", open_after("SIGKILL ended it"), DIED, "os.kill(os.getpid(), signal.SIGKILL)"),
    Ending("SIGTERM to itself", End(2, "not-passed", cause="SIGTERM"), End(2, "not-passed", cause="SIGTERM"),
           f"os.kill(os.getpid(), signal.SIGTERM); {SLEEPS}"),
    Ending("SIGHUP to the parent", End(2, "not-passed", cause="SIGHUP"), End(2, "not-passed", cause="SIGHUP"),
           f"os.kill(os.getppid(), signal.SIGHUP); {SLEEPS}"),
    Ending("SIGINT to the whole group", End(2, "not-passed", cause="SIGINT"), End(2, "not-passed", cause="SIGINT"),
           f"os.killpg(os.getpgrp(), signal.SIGINT); {SLEEPS}"),
    Ending("SIGKILL to the parent", End(-9, "", "open"), open_after("SIGKILL ended it"), f"os.kill(os.getppid(), signal.SIGKILL); {SLEEPS}"),
    Ending("SIGTERM to one that ignores it", PASSED, PASSED, "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGTERM)"),
    # --- threads and child processes
    Ending("a thread that stays", End(0, "passed", said="left running, and ended: thread"), End(0, "passed", said="left running, and ended: thread"),
           f"threading.Thread(target=lambda: {SLEEPS}).start()", sample=True),
    Ending("a daemon thread that stays", PASSED, PASSED, f"threading.Thread(target=lambda: {SLEEPS}, daemon=True).start()"),
    Ending("a thread that raises", FAILED, FAILED, "thread = threading.Thread(target=int, args=('x',)); thread.start(); thread.join()"),
    Ending("a child process that stays", End(0, "passed", said="(sleep 300)"), End(0, "passed", said="(sleep 300)"),
           "child = subprocess.Popen(['sleep', '300'], start_new_session=True); child.returncode = 0"),
    Ending("SIGKILL to itself, a child stays", open_after("SIGKILL ended it"),
           End(1, "not-passed", said="left running, and ended: process"),
           "subprocess.Popen(['sleep', '300']); os.kill(os.getpid(), signal.SIGKILL)"),
    Ending("a child of multiprocessing that stays", End(0, "passed", said="left running, and ended: process"),
           End(0, "passed", said="left running, and ended: process"),
           "import multiprocessing; multiprocessing.get_context('spawn').Process(target=time.sleep, args=(300,)).start(); time.sleep(1)"),
    Ending("a fork whose child raises", PASSED, PASSED,
           "pid = os.fork()\n    if pid == 0:\n        raise ValueError('in the child')\n    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1"),
    Ending("a fork whose child comes back", PASSED, PASSED,
           "pid = os.fork()\n    if pid:\n        assert os.waitpid(pid, 0)[1] == 0"),
    Ending("a fork whose child stays", End(0, "passed", said="left running, and ended: process"),
           End(0, "passed", said="left running, and ended: process"), f"if os.fork() == 0:\n        {SLEEPS}"),
    # --- time
    Ending("a step over its limit", failed("Timeout: took longer than its limit of 1 s"), failed("Timeout: took longer than its limit of 1 s"),
           SLEEPS, mark=LIMIT),
    Ending("a set-up over its limit", failed("Timeout"), failed("Timeout"), mark=LIMIT, module=fixture(before=SLEEPS), needs="f"),
    Ending("a tear-down over its limit", failed("Timeout"), failed("Timeout"), mark=LIMIT, module=fixture(after=SLEEPS), needs="f"),
    Ending("a failure, then a tear-down over its limit", failed("the step's own"), failed("the step's own"),
           "raise ValueError(\"the step's own\")", mark=LIMIT, module=fixture(after=SLEEPS), needs="f", sample=True),
    Ending("a module's tear-down over its limit", failed("Timeout"), failed("Timeout"), mark=LIMIT,
           module=fixture(after=SLEEPS, scope="module"), needs="f"),
    Ending("pytest.exit, then a tear-down over its limit", End(1, "not-passed", said="a tear-down failed at the end: Failed: Timeout"), FAILED,
           "pytest.exit('enough', returncode=0)", mark=LIMIT, module=fixture(after=SLEEPS), needs="f",
           settings=("--deploy-set=step_timeout_s=1",)),
    Ending("a step that cancels what it can", failed("Timeout"), failed("Timeout"),
           f"import faulthandler; faulthandler.cancel_dump_traceback_later(); signal.setitimer(signal.ITIMER_REAL, 0); {SLEEPS}", mark=LIMIT),
    Ending("a step that swallows its stop", open_after("ending could not be stopped at its time limit"), DIED,
           f"while True:\n        try:\n            {SLEEPS}\n        except BaseException:\n            pass", mark=LIMIT, within_s=60),
    Ending("a step that does not come back from C", open_after("ending could not be stopped at its time limit"), DIED,
           "sum(range(10 ** 13))", mark=LIMIT, within_s=60),
    Ending("a run over its limit", End(1, "not-passed", cause="the run took longer than its limit of 6 s"),
           End(1, "not-passed", cause="the run took longer than its limit of 6 s"), SLEEPS, settings=("--deploy-set=run_limit_s=6",)),
    # --- readers and descriptors
    Ending("a terminal without its reader", PASSED, PASSED, line=HEAD, sample=True),
    Ending("a terminal without its reader, and a failure", FAILED, FAILED, "assert False", line=HEAD),
    Ending("standard error without its reader, too", PASSED, PASSED, line=HEAD_OF_BOTH),
    Ending("a refusal that nobody reads", nothing(4, ""), nothing(4, ""), settings=("-k", "x"), line="{} 2>&1 | true; exit ${{PIPESTATUS[0]}}"),
    Ending("a step that closes 1 and 2", PASSED, PASSED, "os.close(1); os.close(2)"),
    Ending("a step that closes 1 and 2, uncaught", PASSED, PASSED, "os.close(1); os.close(2)", settings=("-s",)),
    Ending("a step that closes sys.stdout", PASSED, PASSED, "sys.__stdout__.close()"),
    # --- what pytest counts
    Ending("a plug-in that a fixture registers, which runs no step", failed("no plug-in joins then"), failed("no plug-in joins then"), "assert False",
           module=f"{RUNS_NOTHING}\n@pytest.fixture\ndef f(request):\n    request.config.pluginmanager.register(P(), 'p')\n", needs="f"),
    Ending("a plug-in that a fixture registers, and which hides that it could not", failed("assert False"), failed("assert False"), "assert False",
           module=f"{RUNS_NOTHING}\n@pytest.fixture\ndef f(request):\n    with pytest.raises(Exception, match='no plug-in joins'):\n        "
           "request.config.pluginmanager.register(P(), 'p')\n    yield\n", needs="f"),
    Ending("a gate's verdict that a step writes", failed("gate.passed is not written by a step"), failed("gate.passed is not written by a step"),
           "record.event('gate.passed', gate='incidents', point='change', inputs={}, verdict='passed', reason='x', earliest_start=None)", needs="record"),
    Ending("a freeze that a step writes", failed("environment.frozen is not written by a step"), failed("environment.frozen is not written by a step"),
           "record.event('environment.frozen', reason='x', commit='a' * 40, version='1')", needs="record"),
    Ending("a subtest that is skipped", failed("1 of its subtests did not run"), failed("1 of its subtests did not run"),
           "with subtests.test(): pytest.skip('known')", needs="subtests"),
    Ending("a subtest that fails", failed("1 of its subtests failed: assert 1 != 1"), failed("1 of its subtests failed: assert 1 != 1"),
           "for i in range(3):\n        with subtests.test(i=i):\n            assert i != 1", needs="subtests", sample=True),
    Ending("a session's tear-down that raises", failed("RuntimeError: left"), failed("RuntimeError: left"),
           module=fixture(after="raise RuntimeError('left')", scope="session"), needs="f", sample=True),
    Ending("a module's tear-down that raises, after a failure", failed("AssertionError: its own"), failed("AssertionError: its own"), "assert False, 'its own'",
           module=fixture(after="raise RuntimeError('left')", scope="module"), needs="f"),
    # --- what cannot be written
    Ending("an error that is frozen", failed("E: the words"), failed("E: the words"), "raise E('the words')",
           module="import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass E(Exception):\n    what: str\n"),
    Ending("an error whose words raise", failed("E: <exception str() failed>"), failed("E: <exception str() failed>"), "raise E()",
           module="class E(Exception):\n    def __str__(self): raise SystemExit(0)\n    __repr__ = __str__\n"),
    Ending("half of a surrogate pair, logged, stated, attached", PASSED, PASSED,
           "import logging; logging.warning('%s', 'caf\\udce9'); record.expect(float('nan'), {1: '\\udcff'}); record.attach('na\\udcffme', b'x')",
           needs="record"),
    Ending("half of a surrogate pair, raised", failed("ValueError: m\\ud800"), failed("ValueError: m\\ud800"), "raise ValueError('m\\ud800')"),
    Ending("files by hand, under names that no list can hold", ASIDE, ASIDE, BY_HAND, needs="record"),
    Ending("the same, and os._exit(0)", open_after("it exited with 0"), DIED, f"{BY_HAND}; os._exit(0)", needs="record"),
    Ending("a file under a name that the run writes", failed("the run writes that itself"), failed("the run writes that itself"),
           "record.attach('SHA256SUMS', b'')", needs="record"),
    # --- what cannot be collected
    Ending("a module that is not there", nothing(4, "No module named 'nosuch'"), nothing(4, "No module named 'nosuch'"), module="import nosuch", sample=True),
    Ending("a syntax error", nothing(4, "SyntaxError: "), nothing(4, "SyntaxError: "), module="def test_a(:"),
    Ending("pytest.exit when a step file is imported", nothing(4, "Exit: at import"), nothing(4, "Exit: at import"), module="pytest.exit('at import', returncode=0)"),
    Ending("sys.exit(0) when a step file is imported", nothing(4, "it exits when it is imported: SystemExit: 0"),
           nothing(4, "it exits when it is imported: SystemExit: 0"), module="sys.exit(0)"),
    Ending("a step that yields", nothing(4, "'yield' keyword is allowed in fixtures"), nothing(4, "'yield' keyword is allowed in fixtures"), "yield 1"),
    # --- hooks
    Ending("os._exit(0) in a hook, the run open", open_after("it exited with 0"), open_after("it exited with 0"),
           conftest="import os\ndef pytest_deploy_run_opened(run): os._exit(0)"),
    Ending("a hook that raises when a phase begins", End(3, "not-passed"), End(3, "not-passed"),
           conftest="def pytest_deploy_phase_started(phase): raise RuntimeError('the hook')"),
    Ending("a hook that raises after the seal", End(0, "passed", said="after the seal: RuntimeError: the hook"),
           End(0, "passed", said="after the seal: RuntimeError: the hook"), conftest="def pytest_deploy_run_decided(run): raise RuntimeError('the hook')"),
    Ending("os._exit(9) in a hook after the seal", PASSED, PASSED, conftest="import os\ndef pytest_deploy_run_decided(run): os._exit(9)"),
)  # fmt: skip
"""By name; every name is a claim of what was done."""
