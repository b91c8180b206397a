"""How one environment's stack is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SERVICE: Final = "gcp:cloudrunv2/service:Service"
"""Its revisions and traffic are the deployment's: no update of the stack touches it (docs/decisions/0037)."""


@dataclass(frozen=True)
class StackSettings:
    """One stack, and the programs and the environment that its engine runs with."""

    stack: str
    """Its name: `production`."""
    backend: str
    """Where states lie: `gs://BUCKET`, `file:///FOLDER`, an https address of Pulumi's service."""
    pulumi: Path
    """The command-line program, an absolute path."""
    python: Path
    """The interpreter that has Pulumi's SDK and what the program imports, an absolute path."""
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What the engine, its plug-ins and the program are given beside PATH, HOME and the backend: how to sign in, the passphrase of
    the stack. Nothing else of this process's environment reaches them."""
    home: Path | None = None
    """PULUMI_HOME, where plug-ins lie; None: Pulumi's own, `~/.pulumi`."""
    never_touched: frozenset[str] = frozenset({SERVICE})
    """Types of resources that another part of the deployment changes."""
    stop_s: float = 60.0
    """Seconds for what was begun to end after the first interruption, before the second; and again before the engine is killed."""
    question_s: float = 300.0
    """Seconds for what changes nothing: a preview, the state, the history."""
