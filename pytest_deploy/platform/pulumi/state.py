"""A stack's state, read from what the engine exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_deploy.platform.infrastructure import PendingOperation, StackState, digest_of

_SPECIAL: Final = "4dabf18193072939515e22adb298388d"
"""The key that marks a value as special in Pulumi's state (sdk/go/common/resource/sig)."""
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # the mark of an encrypted value, as published there
_STACK: Final = "pulumi:pulumi:Stack"


def read_state(exported: Mapping[str, Any]) -> StackState:
    """The state as `pulumi stack export` gives it."""
    deployment = exported.get("deployment") or {}
    return StackState(
        resources={
            one["urn"]: _fingerprint(one)
            for one in deployment.get("resources") or []
            if one["type"] != _STACK and not one.get("delete")
        },
        pending=tuple(
            sorted(
                PendingOperation(
                    one["resource"]["urn"], one["type"], one["resource"]["type"], one["resource"].get("inputs") or {}
                )
                for one in deployment.get("pending_operations") or []
            )
        ),
    )


def resource_ids(exported: Mapping[str, Any]) -> dict[str, str]:
    """By URN: the provider's id of each resource."""
    return {one["urn"]: one.get("id", "") for one in (exported.get("deployment") or {}).get("resources") or []}


def is_special(value: object) -> bool:
    """Whether a value of the state is encrypted, or otherwise not what it says."""
    return isinstance(value, dict) and _SPECIAL in value


def _fingerprint(resource: Mapping[str, Any]) -> str:
    """Of what the program asked for: what the cloud computes changes by itself, and ignored properties are another's."""
    ignored = {path.partition(".")[0].partition("[")[0] for path in resource.get("ignoreChanges") or []}
    inputs = {name: _masked(value) for name, value in (resource.get("inputs") or {}).items() if name not in ignored}
    kept = {name: resource.get(name) for name in ("type", "id", "parent", "provider", "protect")}
    if resource["type"].startswith("pulumi:providers:"):
        kept["id"] = ""  # a name that the engine draws
    kept["provider"] = str(kept["provider"] or "").rpartition("::")[0]
    return digest_of({**kept, "inputs": inputs})


def _masked(value: Any) -> Any:
    """Without ciphertext, which differs each time that the same secret is encrypted."""
    if isinstance(value, dict):
        if value.get(_SPECIAL) == _SECRET:
            return "[secret]"
        return {name: _masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return value
