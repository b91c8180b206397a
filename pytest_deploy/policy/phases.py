"""Order is data: the phases, how each judges its steps, and the pipelines made of them.

    build approval preflight backup migration deploy smoke traffic integration health     and rollback; iq, oq, pq

Nothing here decides what may happen next (`pipeline/sequence` does); this is the table it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    """How a phase goes on after a failed step."""

    ALL = "all"
    """Every step runs; one failure fails the phase."""
    FIRST = "first"
    """Steps are ordered; the first failure closes the phase."""


@dataclass(frozen=True)
class Phase:
    """One phase of a pipeline; its name is its folder under suites/."""

    name: str
    mode: Mode
    optional: bool = False
    """Whether an environment's policy may leave it out."""


PHASES: Mapping[str, Phase] = MappingProxyType(
    {
        phase.name: phase
        for phase in (
            Phase("build", Mode.ALL),
            Phase("approval", Mode.ALL, optional=True),
            Phase("preflight", Mode.ALL),
            Phase("backup", Mode.FIRST, optional=True),
            Phase("migration", Mode.FIRST),
            Phase("deploy", Mode.FIRST),
            Phase("smoke", Mode.ALL),
            Phase("traffic", Mode.FIRST),
            Phase("integration", Mode.ALL, optional=True),
            Phase("health", Mode.ALL),
            Phase("rollback", Mode.FIRST),
            Phase("iq", Mode.ALL),
            Phase("oq", Mode.ALL),
            Phase("pq", Mode.ALL),
        )
    }
)
"""Every phase by name, in the order in which they may ever follow one another."""

OPTIONAL: tuple[str, ...] = tuple(phase.name for phase in PHASES.values() if phase.optional)
"""The phases an environment's policy may leave out."""

PARALLEL: frozenset[str] = frozenset({"build", "smoke", "integration", "health", "iq", "oq", "pq"})
"""The phases whose steps may run at the same time, on several workers."""

GATES: tuple[str, ...] = ("approval", "preflight")
"""Two phases, one gate group: a refusal in the first does not hide those of the second. A plan adds its build."""


@dataclass(frozen=True)
class Pipeline:
    """A named order of phases."""

    name: str
    phases: tuple[str, ...]
    """In order of execution."""
    on_failure: tuple[str, ...] = ()
    """Phases that run only where something was changed and something failed."""
    gate_group: tuple[str, ...] = GATES
    """One gate group: each of these phases runs whole, and only then one failure in them closes the run."""


PIPELINES: Mapping[str, Pipeline] = MappingProxyType(
    {
        pipeline.name: pipeline
        for pipeline in (
            Pipeline(
                "deploy",
                (
                    *("build", "approval", "preflight", "backup", "migration"),
                    *("deploy", "smoke", "traffic", "integration", "health"),
                ),
                on_failure=("rollback",),
            ),
            Pipeline("plan", ("build", "approval", "preflight"), gate_group=("build", *GATES)),
            Pipeline("smoke", ("preflight", "smoke")),
            Pipeline("rollback", ("approval", "preflight", "rollback")),
            Pipeline("iq", ("iq",)),
            Pipeline("oq", ("oq",)),
            Pipeline("pq", ("pq",)),
        )
    }
)
"""What `--deploy-pipeline` may name."""


def phases_of(pipeline: str) -> tuple[str, ...]:
    """The phases a pipeline collects: those it runs, then those it runs on failure."""
    return (*PIPELINES[pipeline].phases, *PIPELINES[pipeline].on_failure)
