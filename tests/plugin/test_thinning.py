"""Ways to thin out or bend a deployment, each tried on a real child pytest: exit 4, named, nothing touched.

Most children are forked by a process that has imported pytest (tests/preloaded.py): importing it took five sixths of their
time. What Python reads before pytest comes has an interpreter of its own, as has the plainest way, `-k smoke`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.plugin import configuration
from tests.child_process import PreloadedPytest, Ran, Running, environ_without_pytest
from tests.project_checkout import REPOSITORY, Checkout

DEPLOY = "--deploy-env=local"
ALONE = ("-m", "pytest", DEPLOY)
"""To Python itself, for a way that needs an interpreter of its own."""
REFUSED = 4
NOTHING = "nothing was started: "
"""Refused before anything was judged: it is no deployment that could begin."""
TIMEOUT_S = 60.0

PYPROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Way:
    """One way to thin out a run: what is typed, and what the refusal must name."""

    name: str
    named: str
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Written before, by name from the checkout's root."""
    start: str = "."
    """Where pytest is started, from the checkout's root."""
    python: tuple[str, ...] = ()
    """What an interpreter of its own is told; none: the preloaded one is told `deploy`."""
    deploy: tuple[str, ...] = (DEPLOY,)
    """The first words to pytest; none where it is no deployment."""
    before: str = "could thin out or bend this deployment"
    """Who refuses: thinning, or pytest itself before anything is asked."""


def typed(line: str, named: str = "") -> Way:
    """A way on the command line; its first word is to be named unless said otherwise."""
    words = tuple(line.split())
    return Way(line, named or f"  {words[0].partition('=')[0]}", words)


def variable(name: str, value: str, *words: str, python: tuple[str, ...] = ()) -> Way:
    return Way(f"{name}={value}", f"environment variable {name}={value}: ", words, env={name: value}, python=python)


TYPED = [
    Way("-k smoke", "  -k", ("-k", "smoke"), python=ALONE),
    typed("-m step"),
    typed("-m deploy -k smoke -x", "3 things"),
    typed("--deselect=suites/smoke"),
    typed("--ignore=suites/smoke"),
    typed("--ignore-glob=*smoke*"),
    typed("suites/smoke", "path suites/smoke"),
    typed("suites/smoke/test_api.py::test_one", "path suites/smoke/test_api.py::test_one"),
    typed("-- -p no:timeout", "-p no:timeout"),
    typed("--pyargs"),
    typed("--lf"),
    typed("--ff"),
    typed("--nf"),
    typed("--sw"),
    typed("-x"),
    typed("--maxfail=1"),
    typed("--allure-severities=critical"),
    typed("--inversion=1"),
    typed("--keep-duplicates"),
    typed("--collect-in-virtualenv"),
    typed("--continue-on-collection-errors"),
    typed("--doctest-modules"),
    typed("--setup-plan"),
    typed("--setup-only"),
    typed("--setup-show"),
    typed("--fixtures"),
    typed("--markers"),
    typed("--cache-show"),
    typed("--pdb"),
    typed("--trace"),
    typed("--runxfail"),
    typed("--assert=plain"),
    typed("-W ignore"),
    typed("--strict-markers", "-o strict_markers=true"),
    typed("-c other.toml"),
    typed("--rootdir=."),
    typed("--confcutdir=.."),
    typed("--noconftest"),
    typed("-o python_files=other_*.py", "-o python_files=other_*.py"),
    typed("--import-mode=prepend", "--import-mode prepend"),
    typed("-p no:timeout", "-p no:timeout"),
    typed("-pno:terminal", "-p no:terminal"),
    typed("-p pytester", "plug-in pytester: "),
    typed("--dist=each"),
    typed("-n2 --dist=each", "--dist each"),
    typed("-n2 --dist=load", "--dist load"),
    typed("-n2 -k smoke", "-k smoke"),
    typed("--tx=2*popen"),
    typed("-d"),
    typed("-f"),
    typed("-n2 --maxprocesses=1", "--maxprocesses 1"),
    typed("-n2 --max-worker-restart=0", "--max-worker-restart 0"),
    typed("--junitxml=mine.xml"),
    typed("--html=mine.html"),
    typed("--alluredir=mine"),
    typed("--metadata Release approved", "--metadata"),
    typed("--pastebin=all"),
    typed("--showlocals", "--showlocals"),
    typed("--log-file=mine.log"),
    typed("--log-cli-format=short"),
    typed("--debug"),
    typed("--basetemp=suites"),
    typed("--capture=sys"),
]

WITH_OUR_WORDS = f"""
import pathlib, pytest, sys
from pytest_deploy.plugin.configuration import words
class Bent: pass
sys.exit(pytest.main([*words(pathlib.Path.cwd()), {DEPLOY!r}, *sys.argv[1:]], plugins=[Bent()]))
"""

ELSEWHERE = [
    variable("PYTEST_ADDOPTS", "-k smoke"),
    variable("PYTEST_ADDOPTS", "-v"),
    Way("what PYTEST_ADDOPTS does is named too", "-x (in PYTEST_ADDOPTS): ", env={"PYTEST_ADDOPTS": "-x"}),
    variable("PYTEST_PLUGINS", "pytester"),
    variable("PYTEST_PLUGINS", "os"),
    variable("PYTEST_PLUGINS", "nowhere"),
    Way(
        "PYTEST_PLUGINS of a broken module",
        "environment variable PYTEST_PLUGINS=broken: ",
        env={"PYTEST_PLUGINS": "broken"},
        files={"broken.py": "import nowhere"},
        python=ALONE,
    ),
    Way(
        "PYTEST_PLUGINS of a module that ends the process with 0",
        "environment variable PYTEST_PLUGINS=ends: ",
        env={"PYTEST_PLUGINS": "ends"},
        files={"ends.py": "raise SystemExit(0)"},
        python=ALONE,
    ),
    Way("-c of a folder above", "configuration file ", ("-c", "../x.ini"), files={"../x.ini": "[pytest]\n"}),
    Way("a --deploy-config that is missing", "--deploy-config=x/deploy.yaml: there is no such file", ("--deploy-config=x/deploy.yaml",), python=ALONE, before=NOTHING),
    Way("a --deploy-config that is no deploy.yaml", "right is the path of a deploy.yaml", ("--deploy-config", "other.toml"), python=ALONE, before=NOTHING),
    variable("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1", "-p", "pytest_deploy.plugin.plugin", python=ALONE),
    variable("PYTEST_TIMEOUT", "1"),
    variable("PYTHONPATH", "/srv/other", python=ALONE),
    variable("PYTHONPYCACHEPREFIX", "/srv/compiled", python=ALONE),
    Way("PYTHONOPTIMIZE=1", "PYTHONOPTIMIZE", env={"PYTHONOPTIMIZE": "1"}, python=ALONE),
    Way("python -O", "python -O", python=("-O", "-m", "pytest", DEPLOY)),
    Way("python -OO", "python -O", python=("-OO", "-m", "pytest", DEPLOY)),
    Way("an @file", "-k smoke", ("@words",), files={"words": "-k\nsmoke\n"}),
    Way(
        "pytest.main with a plug-in",
        "a program called pytest",
        python=(
            "-c",
            f"import pytest, sys\nclass Bent: pass\nsys.exit(pytest.main(['{DEPLOY}', *sys.argv[1:]], plugins=[Bent()]))",
        ),
        before=NOTHING,
    ),
    Way(
        "pytest.main with a plug-in and a deployment's own words",
        "plug-in object of __main__.Bent",
        python=(
            "-c",
            WITH_OUR_WORDS,
        ),
    ),
    Way(
        "a plug-in that a conftest.py asks for",
        "plug-in pytester: ",
        files={"suites/conftest.py": 'pytest_plugins = ["pytester"]\n'},
    ),
    Way(
        "a parent folder's conftest.py",
        "/conftest.py: only the conftest.py of suites/ may take part",
        ("--confcutdir=..",),
        files={"../conftest.py": ""},
    ),
    Way("started in the parent folder", "there is no deploy.yaml in ", start="..", python=ALONE, before=NOTHING),
]  # fmt: skip

_HOOKS = "a conftest of a deployment must not drop, reorder, replace or judge steps"
_RENAMED = """
import pytest

@pytest.hookimpl(specname="pytest_collection_modifyitems")
def pytest_harmless(items):
    items.clear()
"""
_BENT = "def pytest_collection_modifyitems(items):\n    items.clear()\n"
_JUDGES = "def pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n"

IN_SUITES = [
    Way(
        "a hook of the suites' conftest.py",
        "conftest.py: pytest_runtest_logreport: ",
        files={"suites/conftest.py": _JUDGES},
        before=_HOOKS,
    ),
    Way(
        "a hook under another name",
        "smoke/conftest.py: pytest_collection_modifyitems: ",
        files={"suites/smoke/conftest.py": _RENAMED},
        before=_HOOKS,
    ),
    Way(
        "a hook in a worker",
        "smoke/conftest.py: pytest_collection_modifyitems: ",
        ("-n2",),
        files={"suites/smoke/conftest.py": _RENAMED},
        before=_HOOKS,
    ),
    Way(
        "a plug-in that a module of steps asks for",
        "plug-in bent: ",
        files={"bent.py": _BENT, "suites/smoke/test_api.py": 'pytest_plugins = ["bent"]\n\ndef test_one(): pass\n'},
        before="a module of suites/ brought it",
    ),
]
"""Found where the suites are imported, after everything else was judged."""

OF_KEPT_OUT = [
    Way(word, f"unrecognized arguments: {word}.", (word,), before="A deployment runs without anyio ")
    for word in (
        "--timeout=0",
        "--session-timeout=1",
        "--cov=pytest_deploy",
        "--cov-report=xml",
        "--hypothesis-seed=1",
        "--reruns=3",
    )
]
"""Options of plug-ins that are installed here, and kept out; and of one that is not installed."""

TAKEN_OUT = [
    Way(f"-p {word}", f"-p {word}", ("-p", word), before="takes out what makes this a deployment")
    for word in ("no:pytest_deploy.plugin.plugin", "no:deploy.plugin.plugin")
] + [
    Way(
        "-p no: of this plug-in in an @file",
        "-p no:pytest_deploy.plugin.plugin",
        ("@words",),
        files={"words": "--deploy-env=local\n-p\nno:pytest_deploy.plugin.plugin\n"},
        deploy=(),
        before="takes out what makes this a deployment",
    )
]
"""This plug-in, after it was brought in: without it the same words would be a test run."""

BY_PYTEST = [
    Way("--forked", "--forked", ("--forked",), before="unrecognized arguments"),
    Way("--pdb -n2", "--pdb", ("--pdb", "-n2")),
    Way("-c of a file that is missing", "nowhere.ini' not found", ("-c", "nowhere.ini"), before="ERROR: "),
    Way("--rootdir that is missing", "'/nowhere' not found", ("--rootdir=/nowhere",), before="ERROR: "),
    Way(
        "PYTEST_XDIST_WORKER=gw0",
        "PYTEST_XDIST_WORKER is set",
        env={"PYTEST_XDIST_WORKER": "gw0"},
        before="this deployment has no guard",
    ),
]
"""Refused whoever comes first: an option of a plug-in that is not installed is unknown to pytest."""


class Bare:
    """The least that is a checkout to pytest, with a record and platform files of earlier runs in it."""

    def __init__(self, folder: Path, pytest: PreloadedPytest) -> None:
        self.path = folder / "outer" / "checkout"
        self._pytest = pytest
        self._said = folder
        for name in ("suites/smoke", "reports/local/log", ".deploy/keys"):
            (self.path / name).mkdir(parents=True)
        for name in ("conftest.py", "deploy.yaml", "suites/steps.lock"):
            shutil.copyfile(REPOSITORY / name, self.path / name)
        self.write("pyproject.toml", PYPROJECT)
        self.write("suites/conftest.py", "")
        self.write("suites/smoke/test_api.py", "def test_one(): pass\n")
        self.write("tests/test_own.py", "def test_own(): pass\n")
        self.write("other.toml", "[pytest]\n")
        self.write("reports/local/log/0000000000.event", "an earlier event\n")
        self.write(".deploy/keys/local.pem", "a key\n")

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def kept(self) -> dict[str, bytes]:
        """Every file of the store and of the platform, and of suites/."""
        tops = [self.path / name for name in ("reports", ".deploy", "suites")]
        # What Python compiles beside a conftest is nobody's touch.
        files = [path for top in tops for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path): path.read_bytes() for path in files}

    def run(self, way: Way) -> Ran:
        env = {**environ_without_pytest(), **way.env}
        if not way.python:
            # As `pytest-deploy run` begins; typed plainly, the process starts itself anew with the same words.
            ours = configuration.words(self.path) if way.deploy else ()
            words = (*ours, *way.deploy, *way.words)
            return self._pytest.run(words, self.path / way.start, env, self._said, TIMEOUT_S)
        words = (sys.executable, *way.python, *way.words)
        with (self._said / "stdout").open("wb") as stdout, (self._said / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                words,
                cwd=self.path / way.start,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return Running(process, words, self._said).wait(TIMEOUT_S)


@pytest.fixture(scope="module")
def preloaded() -> Iterator[PreloadedPytest]:
    with PreloadedPytest.open() as opened:
        yield opened


@pytest.fixture
def bare(tmp_path: Path, preloaded: PreloadedPytest) -> Bare:
    return Bare(tmp_path, preloaded)


def _ways() -> list[Any]:
    """Every way; where xdist's controller waits for a worker that refused, it waits for 10 s."""
    ways = [*TYPED, *ELSEWHERE, *IN_SUITES, *OF_KEPT_OUT, *TAKEN_OUT, *BY_PYTEST]
    long = {"a hook in a worker": pytest.mark.faults}
    return [pytest.param(way, id=way.name, marks=long.get(way.name, ())) for way in ways]


@pytest.mark.parametrize("way", _ways())
def test_a_way_to_thin_out_a_run_is_refused_by_name_and_touches_nothing(bare: Bare, way: Way) -> None:
    for name, text in way.files.items():
        bare.write(name, text)
    before = bare.kept()
    ran = bare.run(way)
    assert ran.code == REFUSED, ran.said
    assert way.before in ran.stderr, ran.said
    assert way.named in ran.stderr, ran.said
    assert "Traceback" not in ran.stderr, ran.said
    assert before == bare.kept()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with Checkout.open(tmp_path_factory.mktemp("thinning")) as opened:
        # A parent folder's files that pytest does not come to: the checkout's own are nearer.
        (opened.path.parent / "pytest.ini").write_text("[pytest]\naddopts = -k smoke\n")
        (opened.path.parent / "conftest.py").write_text("raise RuntimeError('a stranger')\n")
        yield opened


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-n2 -q -s",
        "-n auto -v --tb=short --color=no -rA --durations=3 --no-header --show-capture=no",
    ],
)
def test_a_permitted_option_shows_all_steps_and_writes_nothing(checkout: Checkout, line: str) -> None:
    ran = checkout.run(DEPLOY, "--collect-only", *line.split())
    locked = [row for row in (checkout.path / "suites/steps.lock").read_text().splitlines() if "::" in row]
    assert ran.code == 0, ran.said
    assert f"{len(locked)} tests collected" in ran.stdout, ran.said
    assert not checkout.store.exists()
    assert not (checkout.path / ".deploy").exists()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that holds nothing of this one: a deploy.yaml, a step of its own, and the lock."""
    path = tmp_path_factory.mktemp("elsewhere") / "their project"
    for phase in ("smoke", "integration"):
        (path / "suites" / phase).mkdir(parents=True)
        (path / "suites" / phase / "test_own.py").write_text("def test_one(): pass\n")
    shutil.copyfile(REPOSITORY / "deploy.yaml", path / "deploy.yaml")
    words = (sys.executable, "-m", "pytest_deploy", "steps", "--write")
    subprocess.run(words, cwd=path, env=environ_without_pytest(), check=True, timeout=TIMEOUT_S)
    return path


def assert_all_steps_are_shown(elsewhere: Path, *words: str, start: str = ".") -> None:
    """The words, with `--collect-only`, find what the lock lists."""
    locked = [row for row in (elsewhere / "suites/steps.lock").read_text().splitlines() if "::" in row]
    ran = subprocess.run(
        [sys.executable, *words, "--collect-only", "-q"],
        cwd=elsewhere / start, env=environ_without_pytest(), capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran
    assert f"{len(locked)} tests collected" in ran.stdout, ran


@pytest.mark.parametrize(
    "start, words",
    [
        ("suites/smoke", ("-c", "import pytest; raise SystemExit(pytest.main())")),
        ("suites/smoke", ("-m", "pytest")),
        ("..", ("-m", "pytest", "--deploy-config=their project/deploy.yaml")),
        ("..", ("-m", "pytest", "--deploy-config", "their project/deploy.yaml")),
    ],
    ids=["a program with the words of its own command line", "a folder of suites/", "the folder above", "and in two words"],
)  # fmt: skip
def test_a_deployment_may_be_started_in_any_folder(elsewhere: Path, start: str, words: tuple[str, ...]) -> None:
    assert_all_steps_are_shown(elsewhere, *words, DEPLOY, start=start)


PROJECTS_OWN = {
    "pytest.ini": "[pytest]\naddopts = -k nothing --cov -x --html=mine.html\nfilterwarnings = ignore\nrequired_plugins = pytest-nowhere\n",
    "pytest.toml": '[pytest]\npython_files = ["other_*.py"]\nunheard_of = "x"\n',
    "tox.ini": "[pytest]\naddopts = -n 3 --dist=each\n",
    "setup.cfg": "[tool:pytest]\ntestpaths = nowhere\nfaulthandler_timeout = 1\n",
    "conftest.py": "raise RuntimeError('the own tests alone read this')\n",
    "pyproject.toml": '[tool.pytest]\naddopts = ["-p", "no:terminal", "--cov"]\nstrict = true\npythonpath = ["/srv"]\n',
    "suites/pytest.ini": "[pytest]\naddopts = -k nothing\n",
}
"""Settings of a project's own tests, by file."""


@pytest.mark.parametrize("name", PROJECTS_OWN)
def test_what_a_project_says_to_its_own_tests_has_no_say_in_a_deployment(elsewhere: Path, name: str) -> None:
    (elsewhere / name).write_text(PROJECTS_OWN[name])
    try:
        assert_all_steps_are_shown(elsewhere, "-m", "pytest", DEPLOY)
        assert_all_steps_are_shown(elsewhere, "-m", "pytest_deploy", "run", "local", "--")
    finally:
        (elsewhere / name).unlink()


@pytest.mark.parametrize("word", ["--help", "--version", "-VV"])
def test_help_and_version_are_shown_and_are_no_deployment(bare: Bare, word: str) -> None:
    before = bare.kept()
    ran = bare.run(Way(word, "", (word, "-x")))
    assert ran.code == 0, ran.said
    assert before == bare.kept()


def test_without_an_environment_nothing_is_refused(bare: Bare) -> None:
    ran = bare.run(Way("", "", ("tests", "-k", "own"), deploy=(), env={"PYTEST_ADDOPTS": "-x"}))
    assert ran.code == 0, ran.said


def test_the_record_says_which_permitted_options_were_given(checkout: Checkout) -> None:
    ran = checkout.deploy('--deploy-set=service.checks.lint=["false"]', "-n2", "-v", "--tb=short")
    assert ran.code == 1, ran.said
    (opened,) = checkout.said("run.opened")
    assert opened["options"] == {
        "importmode": "importlib",
        "numprocesses": 2,
        "plugins": ["no:allure_pytest_bdd"],
        "tbstyle": "short",
        "verbose": 1,
    }
