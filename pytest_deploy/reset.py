"""`deploy.py reset local`: the local store is archived, never deleted; the platform's state is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ENVIRONMENT = "local"


def reset_local(root: Path) -> Iterator[str]:
    """Archive reports/local with its key, forget the platform's state; says what it did, a line each.

    Raises Refused while somebody holds the platform.
    """
    from pytest_deploy.platform.local import reset

    reset(root)
    yield "forgotten: the embedded platform's database and revisions"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    store = root / "reports" / ENVIRONMENT
    if store.exists():
        archived = root / "reports" / "archive" / f"{ENVIRONMENT}-{stamp}"
        archived.parent.mkdir(parents=True, exist_ok=True)
        store.rename(archived)
        yield f"archived: {archived.relative_to(root)} (still verifies: python deploy.py verify {archived.relative_to(root)})"
    key = root / ".deploy" / "keys" / f"{ENVIRONMENT}.pem"
    if key.exists():
        key.rename(key.with_name(f"{ENVIRONMENT}-{stamp}.pem"))
        yield "retired: the archived store's key; the next run begins a new store with a new one"
