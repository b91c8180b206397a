"""Nobody's key signs before they were shown what, and said yes: at the terminal, or by `--yes` where there is none."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import app
from pytest_deploy.commands.amend import amend, annotate
from pytest_deploy.commands.approve import approve, override, reject
from pytest_deploy.commands.keys import pledge, sign
from pytest_deploy.commands.review_trail import review_trail
from pytest_deploy.commands.sign_off import accept_deviation, sign_off, thaw
from pytest_deploy.errors import UsageError
from tests.unit.approvals.pending_request import TINA
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.commands.pending_request_checkout import PendingRequestCheckout
from tests.unit.commands.terminal import END, answered
from tests.unit.commands.typed import typed

SIGNING: list[tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]]] = [
    (approve, ("local-20261122T201500Z-4f1c",), {}),
    (reject, ("local-20261122T201500Z-4f1c",), {"reason": "x"}),
    (override, ("window", "local-20261122T201500Z-4f1c"), {"reason": "x", "incident": "INC-7"}),
    (sign_off, ("local-20261122T201500Z-4f1c",), {"role": "QA Lead", "meaning": "reviewed"}),
    (accept_deviation, ("local-20261122T201500Z-4f1c",), {"step": "x", "reason": "x"}),
    (thaw, ("local",), {"reason": "x"}),
    (amend, ("local", 1), {"field": "reason", "to": "x", "reason": "x"}),
    (annotate, ("local", 1), {"note": "x"}),
    (sign, ("local",), {}),
    (pledge, ("local",), {"person": "ada@example.org", "name": "Ada", "key": Path("ada")}),
    (review_trail, ("local",), {"findings": "none"}),
]
"""Every command that signs with a person's key."""


@pytest.mark.parametrize("command, given, options", SIGNING, ids=[command.__name__ for command, _, _ in SIGNING])
def test_without_a_terminal_it_is_yes_or_show_before_anything_is_read(
    tmp_path: Path, command: Callable[..., None], given: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """There is not even a policy to read in this folder."""
    with pytest.raises(UsageError, match="no terminal to ask at, so nothing is signed: add --yes to sign, or --show"):
        typed(tmp_path, command, *given, **options, yes=False)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("elsewhere", ["input", "output"])
def test_half_a_terminal_is_none(tmp_path: Path, elsewhere: str) -> None:
    """Nobody answers for what they were not shown, and what comes out of a pipe is nobody's answer."""
    with half_a_terminal() as terminal:
        ended = subprocess.run(
            [sys.executable, "-c", "from pytest_deploy.cli import main; main()", "approve", "local-20261122T201500Z-4f1c"],
            cwd=tmp_path, stdin=subprocess.DEVNULL if elsewhere == "input" else terminal,
            stdout=subprocess.DEVNULL if elsewhere == "output" else terminal, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    assert "no terminal to ask at, so nothing is signed" in ended.stderr


@contextmanager
def half_a_terminal() -> Iterator[int]:
    """A pseudo-terminal at which nobody sits."""
    ours, theirs = pty.openpty()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize(
    "answer, code, signed",
    [("y\n", 0, True), ("YES\n", 0, True), ("n\n", 1, False), ("\n", 1, False), (END, 1, False), ("maybe\nn\n", 1, False)],
)  # fmt: skip
def test_at_a_terminal_only_yes_signs(
    pending_checkout: PendingRequestCheckout, answer: str, code: int, *, signed: bool
) -> None:
    before = sorted(pending_checkout.folder.rglob("*"))
    words = ("approve", pending_checkout.run, "--key", str(pending_checkout.keys[TINA.email]))

    ended, printed = answered(pending_checkout.root, *words, answer=answer)

    assert ended == code, printed
    assert printed.index("+ column mood") < printed.index("Sign as Tech Lead? [y/N]")
    assert pending_checkout.events("approval.signed") == ([TINA.email] if signed else [])
    assert ("nothing was signed" in printed) == (not signed)
    assert (sorted(pending_checkout.folder.rglob("*")) == before) == (not signed)


def signing_off(finished: FinishedRuns) -> list[str]:
    """The words of a sign-off by Quinn."""
    about = ["--role", "QA Lead", "--meaning", "reviewed"]
    return ["sign-off", finished.deployed, *about, "--key", str(finished.key("quinn"))]


def test_what_is_signed_after_a_run_is_asked_for_too(finished: FinishedRuns) -> None:
    words = signing_off(finished)
    head = finished.head().seq

    code, printed = answered(finished.root, *words, answer="n\n")
    assert (code, finished.head().seq) == (1, head), printed
    assert "Sign as QA Lead? [y/N]" in printed

    code, printed = answered(finished.root, *words, answer="y\n")
    assert (code, finished.head().type) == (0, "signoff.signed"), printed


def test_show_signs_nothing_even_beside_yes(finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.root)
    words = signing_off(finished)
    head = finished.head().seq

    shown = CliRunner().invoke(app, [*words, "--show", "--yes"])

    assert (shown.exit_code, finished.head().seq) == (0, head), shown.output
    assert shown.output.splitlines()[-1].startswith("signing   reviewed, as Quinn Quist")
