"""Order is data: the phases, which of them are ordered, and the pipelines made of them.

    build approval preflight backup migration deploy smoke traffic integration health     and rollback; iq, oq, pq

Nothing here decides what may happen next (`pipeline/sequence` does); this is the table it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PHASES: tuple[str, ...] = (
    *("build", "approval", "preflight", "backup", "migration", "deploy", "smoke", "traffic", "integration", "health"),
    *("rollback", "iq", "oq", "pq"),
)
"""Every phase, named as its folder under suites/, in the order in which they may ever follow one another."""

ORDERED: frozenset[str] = frozenset({"backup", "migration", "deploy", "traffic", "rollback"})
"""The phases whose steps are ordered: the first failure closes the phase. Of any other every step runs."""

OPTIONAL: tuple[str, ...] = ("approval", "backup", "integration")
"""The phases an environment's policy may leave out."""

PARALLEL: frozenset[str] = frozenset({"build", "smoke", "integration", "health", "iq", "oq", "pq"})
"""The phases whose steps may run at the same time, on several workers."""

GATE_PHASES: tuple[str, ...] = ("approval", "preflight")
"""Two phases, one gate group: a refusal in the first does not hide those of the second. A plan adds its build."""


@dataclass(frozen=True)
class Pipeline:
    """An order of phases."""

    phases: tuple[str, ...]
    """In order of execution."""
    on_failure: tuple[str, ...] = ()
    """Phases that run only where something was changed and something failed."""
    gate_group: tuple[str, ...] = GATE_PHASES
    """One gate group: each of these phases runs whole, and only then one failure in them closes the run."""


PIPELINES: Mapping[str, Pipeline] = MappingProxyType(
    {
        "deploy": Pipeline(PHASES[: PHASES.index("rollback")], on_failure=("rollback",)),
        "plan": Pipeline(("build", "approval", "preflight"), gate_group=("build", *GATE_PHASES)),
        "smoke": Pipeline(("preflight", "smoke")),
        "rollback": Pipeline(("approval", "preflight", "rollback")),
        "iq": Pipeline(("iq",)),
        "oq": Pipeline(("oq",)),
        "pq": Pipeline(("pq",)),
    }
)
"""What `--deploy-pipeline` may name."""


def phases_of(pipeline: str) -> tuple[str, ...]:
    """The phases a pipeline collects: those it runs, then those it runs on failure."""
    return (*PIPELINES[pipeline].phases, *PIPELINES[pipeline].on_failure)
