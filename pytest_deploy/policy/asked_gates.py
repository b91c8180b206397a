"""Which gates policy asks, and which of them it has a rule for: read from its text, so that verifiers can tell it years later.

`policy.json` of a run is that text (`record/preimages.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self

from pytest_deploy.policy.user_verification import UserVerification, is_level

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "deployer": "deployer",
        "approvals": "approval.roles",
        "window": "window",
        "blackout": "blackout",
        "rate-limit": "rate_limit",
        "lease": "",
        "staging-smoke": "staging_smoke",
        "incidents": "incidents",
        "build": "",
        "retention": "retention.locked",
        "anchors": "anchors.required",
        "administrators": "administrators",
        "freeze": "freeze_after_rollback",
        "clock": "",
    }
)
"""Every gate, in the order in which people read the verdicts, and the key of policy that its rule is: null, false or an empty
list there is no rule. Empty where the rule holds whatever policy says."""

GATE_NAMES: Final = tuple(RULES)

LATER: Final = ("administrators",)
"""The gates that came after the first records: a text without the key has no rule for them, and where it has none nothing
is held to them."""

OVERRIDABLE: Final = ("window", "blackout", "rate-limit", "incidents")
"""The gates that two people may override: those that say when. An emergency may need another time, and two people may answer
for that with their signatures. The others say what goes, who allowed it, and whether its evidence can be trusted: to override
one of those would be to deploy something that nobody built, smoked or signed, which no emergency needs."""

GATES_OF_PIPELINE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "deploy": GATE_NAMES,
        "plan": GATE_NAMES,
        "smoke": ("lease", "clock"),
        # The way back is open at any hour and as often as it takes; who asks for it, and that nothing else runs, still count.
        "rollback": ("deployer", "approvals", "lease", "freeze", "clock"),
        "iq": (),
        "oq": (),
        "pq": (),
    }
)
"""The gates of each pipeline, before policy leaves phases out."""


def gates_of(pipeline: str, left_out: Collection[str]) -> tuple[str, ...]:
    """The gates a pipeline asks, in order: without `approvals` where policy leaves the phase `approval` out.

    A gate whose rule is not in the policy is asked all the same, and says so. Raises KeyError for no pipeline.
    """
    unasked = {"approvals"} if "approval" in left_out else set()
    return tuple(name for name in GATES_OF_PIPELINE[pipeline] if name not in unasked)


def slots(roles: Sequence[str]) -> dict[str, str]:
    """What signatures fill, each with its role: a role that is named twice needs two people, the second is `ROLE (2)`."""
    filled: dict[str, str] = {}
    for at, role in enumerate(roles):
        earlier = roles[:at].count(role)
        filled[f"{role} ({earlier + 1})" if earlier else role] = role
    return filled


def missing_roles(wanted: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The roles that are wanted and not asked, or not as often."""
    return tuple((Counter(wanted) - Counter(asked)).elements())


@dataclass(frozen=True)
class Asked:
    """What the text of a policy asks before anything changes."""

    left_out: frozenset[str]
    """The phases it does without."""
    roles: tuple[str, ...]
    """Who must approve a deployment."""
    rollback_roles: tuple[str, ...]
    """Who must approve a rollback that somebody asks for."""
    user_verification: UserVerification
    """What their signatures, and those of an override, must be made with."""
    ruled: frozenset[str]
    """The gates that it has a rule for when it deploys: each passes or refuses, and is never not applicable."""

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Raises ValueError where the text is no policy's."""
        try:
            policy = json.loads(text)
            if json.dumps(policy, sort_keys=True, separators=(",", ":")).encode() != text:
                raise ValueError("is no policy: keys sorted and single, no spaces, ASCII, one line")
            left_out, roles = policy["phases"]["leave_out"], policy["approval"]["roles"]
            left_out, roles = _names(left_out), _names(roles)
            back = _names(policy.get("rollback", {}).get("roles", []))  # older policies ask nobody
            asked = policy["approval"].get("user_verification", "none")  # older policies ask nothing
            if not is_level(asked):
                raise ValueError(f"is no policy: it asks for the user verification {asked!r}")
            ruled = ruled_gates(policy)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"is no policy: {error}") from error
        return cls(frozenset(left_out), roles, back, asked, ruled)

    def gates(self, pipeline: str) -> tuple[str, ...]:
        """The gates that a run of a pipeline is held to."""
        return tuple(gate for gate in gates_of(pipeline, self.left_out) if gate not in LATER or gate in self.ruled)

    def asks(self, pipeline: str) -> tuple[str, ...]:
        """Who must approve a run of a pipeline."""
        return self.rollback_roles if pipeline == "rollback" else self.roles

    def rules(self, pipeline: str) -> frozenset[str]:
        """The gates that it has a rule for in a run of a pipeline."""
        approvals = frozenset({"approvals"})
        return self.ruled - approvals | (approvals if self.asks(pipeline) else frozenset())


def ruled_gates(policy: Any, rules: Mapping[str, str] = RULES, later: Collection[str] = LATER) -> frozenset[str]:
    """The gates that a policy has a rule for. Raises KeyError, TypeError where the key of one that is not `later` is missing."""
    return frozenset(
        gate for gate, key in rules.items() if not key or _is_rule(_value(policy, key, may_lack=gate in later))
    )


def _value(policy: Any, key: str, *, may_lack: bool) -> Any:
    """What stands under a dotted key; None where `may_lack` and there is no such key."""
    for name in key.split("."):
        if may_lack and (not isinstance(policy, Mapping) or name not in policy):
            return None
        policy = policy[name]
    return policy


def _is_rule(value: Any) -> bool:
    return value is not None and value is not False and value != []


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{value!r} is no list of names")
    return tuple(value)
