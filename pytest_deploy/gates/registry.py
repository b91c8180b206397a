"""Which gates there are, which of them a pipeline asks, and which of them people may override."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_deploy.policy.policy import Policy

NAMES: tuple[str, ...] = (
    *("deployer", "approvals", "window", "blackout", "rate-limit", "lease"),
    *("staging-smoke", "incidents", "build", "retention", "anchors", "freeze", "clock"),
)
"""Every gate, in the order in which people read the verdicts."""

OVERRIDABLE: tuple[str, ...] = ("window", "blackout", "rate-limit", "incidents")
"""The gates that say when. An emergency may need another time, and two people may answer for that with their signatures.
The others say what goes, who allowed it, and whether its evidence can be trusted: to override one of those would be to
deploy something that nobody built, smoked or signed, which no emergency needs."""

_HAND_ROLLBACK = ("deployer", "approvals", "lease", "freeze", "clock")
"""The way back is open at any hour and as often as it takes; who asks for it, and that nothing else runs, still count."""

PIPELINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deploy": NAMES,
        "plan": NAMES,
        "smoke": ("lease", "clock"),
        "rollback": _HAND_ROLLBACK,
        "iq": (),
        "oq": (),
        "pq": (),
    }
)
"""The gates of each pipeline, before policy leaves phases out."""


def gates_of(pipeline: str, policy: Policy) -> tuple[str, ...]:
    """The gates a pipeline asks in this environment, in order: without `approvals` where policy has no approval phase.

    A gate whose rule is not in the policy is asked all the same, and says so. Raises KeyError for no pipeline.
    """
    unasked = {"approvals"} if "approval" in policy.phases.leave_out else set()
    return tuple(name for name in PIPELINES[pipeline] if name not in unasked)
