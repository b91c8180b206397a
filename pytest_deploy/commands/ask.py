"""Before a person's key signs: what is signed was shown, and the person said yes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from pytest_deploy.errors import Refused, UsageError

Yes = Annotated[bool, typer.Option("--yes", help="sign without being asked: needed where there is no terminal")]
Show = Annotated[bool, typer.Option("--show", help="show what would be signed, and sign nothing")]


@dataclass(frozen=True)
class Question:
    """Whether a command signs: a person answers at the terminal, unless `--yes` did; `--show` never signs."""

    yes: bool
    show: bool

    @classmethod
    def of(cls, command: str, *, yes: bool, show: bool) -> Question:
        """What a command asks. Raises UsageError where nobody could answer: nothing was read or written yet."""
        if not (yes or show or (sys.stdin.isatty() and sys.stdout.isatty())):
            # Also where only the output goes elsewhere: nobody answers for what they were not shown.
            raise UsageError(
                f"pytest-deploy {command}: no terminal to ask at, so nothing is signed: add --yes to sign, or --show to look"
            )
        return cls(yes, show)

    def require_yes(self, role: str) -> None:
        """Ask whether to sign as `role`. Raises Refused where the answer is not yes."""
        if self.yes:
            return
        try:
            agreed = typer.confirm(f"Sign as {role}?", default=False, prompt_suffix=" ")
        except typer.Abort:  # the end of the input, or Ctrl-C
            agreed = False
            typer.echo("")
        if not agreed:
            raise Refused("nothing was signed: the answer was not yes")
