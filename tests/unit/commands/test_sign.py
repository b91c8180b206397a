"""What whoever signs is shown is what they sign: no text of somebody else's can draw over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.commands.sign import approve, override
from pytest_deploy.errors import UsageError

RUN = "production-20261122T201500Z-4f1c"


def test_nobody_signs_a_comment_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--comment holds characters that cannot be shown"):
        approve(tmp_path, RUN, role="", key=None, comment="fine\nmissing   nobody", say=print)


@pytest.mark.parametrize("word", ["reason", "incident"])
def test_nobody_signs_an_override_that_cannot_be_shown(tmp_path: Path, word: str) -> None:
    said = {"reason": "the service is down", "incident": "INC-7"} | {word: "x\x1b[2J"}
    with pytest.raises(UsageError, match=f"--{word} holds characters that cannot be shown"):
        override(tmp_path, "window", RUN, **said, hours=1, role="", key=None, say=print)
