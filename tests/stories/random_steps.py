"""Step files as chance writes them, from a seed: each raises, hangs, leaks, prints, attaches or names oddly, or all is well."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Act:
    """What a step does, and whether it may count as passed."""

    body: str
    passes: bool
    deadly: bool = False
    """It ends the process that runs it."""
    mark: str = ""
    arguments: str = ""
    above: str = ""


def fails(body: str, *, mark: str = "", arguments: str = "", above: str = "") -> Act:
    return Act(body, passes=False, mark=mark, arguments=arguments, above=above)


def passes(body: str, *, mark: str = "", arguments: str = "") -> Act:
    return Act(body, passes=True, mark=mark, arguments=arguments)


HANGS = "@pytest.mark.step(timeout=1)"
SLEEP = "time.sleep(300)"
LATE = "@pytest.fixture\ndef late{n}():\n    yield\n    {act}\n"
FROZEN = "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Frozen(Exception):\n    what: str\n"
MUTE = "class Mute(Exception):\n    def __str__(self):\n        raise SystemExit(0)\n    __repr__ = __str__\n"

ACTS = (
    *[passes("assert 1 + 1 == 2")] * 8,
    # --- raise
    fails("raise ValueError('wrong')"),
    fails("raise SystemExit(0)"),
    fails("raise GeneratorExit"),
    fails("raise ExceptionGroup('several', [ValueError(1), OSError(2)])"),
    fails("(lambda f: f(f))(lambda f: f(f))"),
    fails("assert [1, 2, 3] == [1, 2, 4]"),
    fails("pytest.skip('not today')"),
    fails("pytest.xfail('known')"),
    fails("pytest.importorskip('nosuchmodule')"),
    fails("pass", mark="@pytest.mark.xfail"),
    fails("pass", above=LATE.format(n="{n}", act="raise RuntimeError('late')"), arguments="late{n}"),
    fails("warnings.warn('careful')"),
    fails("with subtests.test(i=1):\n        assert False\n    with subtests.test(i=2):\n        pass", arguments="subtests"),
    fails("raise Frozen('its words')", above=FROZEN),
    fails("raise Mute()", above=MUTE),
    fails("raise ValueError('m\\ud800')"),
    fails("assert '\\udcff' == 'a'"),
    fails("raise ValueError(Mute())", above=MUTE),
    fails("record.answered('x', float('nan'))", arguments="record"),
    fails("record.attach('SHA256SUMS', b'')", arguments="record"),
    # --- hang
    fails(SLEEP, mark=HANGS),
    fails("raise ValueError('and more')", mark=HANGS, above=LATE.format(n="{n}", act=SLEEP), arguments="late{n}"),
    # --- leak
    passes(f"threading.Thread(target=lambda: {SLEEP}, daemon=True).start()"),
    passes(f"threading.Thread(target=lambda: {SLEEP}).start()"),
    passes("subprocess.Popen(['sleep', '300']).returncode = 0"),
    passes("os.chdir('/')"),
    passes("os.environ.pop('PATH', None)"),
    passes("signal.signal(signal.SIGTERM, signal.SIG_DFL)"),
    passes("os.umask(0o777)"),
    # --- print and attach
    passes("print('x' * 200_000)"),
    passes("print('\\x1b[31m\\x00 caf\\xe9 ' * 50, file=sys.stderr)"),
    passes("os.write(1, bytes(range(256)))"),
    passes("record.attach('note', b'\\x00\\xff')", arguments="record"),
    passes("record.expect({'a': 1}, {'a': 1})", arguments="record"),
    passes("record.expect(float('nan'), {1: object, '\\udcff': 'x' * 100_000})", arguments="record"),
    passes("record.attach(f'{time.time_ns()}/na\\udcffme', b'x')", arguments="record"),
    passes("logging.warning('%s', 'caf\\udce9')"),
    passes("logging.error('%s', {'password': 1})"),
    # --- parametrise oddly
    passes("assert value", mark="@pytest.mark.parametrize('value', ['a b', 'c'], ids=['a b', 'c::d'])", arguments="value"),
    passes("assert value == ''", mark="@pytest.mark.parametrize('value', [''])", arguments="value"),
    passes("assert value", mark="@pytest.mark.parametrize('value', ['\\ud800', b'\\xff'])", arguments="value"),
    # --- end the process
    Act("os._exit(0)", passes=False, deadly=True),
    Act("os.kill(os.getpid(), signal.SIGKILL)", passes=False, deadly=True),
    Act("pytest.exit('enough', returncode=0)", passes=False, deadly=True),
    Act("raise KeyboardInterrupt", passes=False, deadly=True),
)  # fmt: skip

IMPORTS = "import logging\nimport os\nimport signal\nimport subprocess\nimport sys\nimport threading\nimport time\nimport warnings\n\nimport pytest\n"


@dataclass(frozen=True)
class StepFile:
    """One step file."""

    text: str
    acts: tuple[Act, ...]


def step_files(seed: int, count: int) -> list[StepFile]:
    """So many files of a seed; no two runs of a seed differ."""
    chance = random.Random(seed)  # noqa: S311 -- a choice, no secret
    return [_step_file([chance.choice(ACTS) for _ in range(chance.randint(1, 3))]) for _ in range(count)]


def _step_file(acts: list[Act]) -> StepFile:
    parts = [IMPORTS]
    for n, act in enumerate(acts):
        above, arguments = act.above.replace("{n}", str(n)), act.arguments.replace("{n}", str(n))
        parts.append(f"{above}\n{act.mark}\ndef test_{n}({arguments}):\n    {act.body}\n")
    return StepFile("\n\n".join(parts), tuple(acts))
