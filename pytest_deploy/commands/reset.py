"""`deploy.py reset local`: the local store is archived, never deleted; the platform's state is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pytest_deploy.errors import UsageError

ENVIRONMENT = "local"


def reset_local(root: Path) -> Iterator[str]:
    """Archive reports/local with its key, forget the platform's state; says what it did, a line each.

    Raises UsageError where the record lies in a bucket, Refused while somebody holds the platform.
    """
    from pytest_deploy.platform.embedded import reset
    from pytest_deploy.record.mirrored_store import copy_of

    store = root / "reports" / ENVIRONMENT
    if bucket := copy_of(store):
        raise UsageError(
            f"the record of {ENVIRONMENT} lies in {bucket}, where nothing is moved or deleted: give it another prefix"
        )
    reset(root)
    yield "forgotten: the embedded platform's database and revisions"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if store.exists():
        archived = root / "reports" / "archive" / f"{ENVIRONMENT}-{stamp}"
        archived.parent.mkdir(parents=True, exist_ok=True)
        store.rename(archived)
        yield f"archived: {archived.relative_to(root)} (still verifies: python deploy.py verify {archived.relative_to(root)})"
    key = root / ".deploy" / "keys" / f"{ENVIRONMENT}.pem"
    if key.exists():
        key.rename(key.with_name(f"{ENVIRONMENT}-{stamp}.pem"))
        yield "retired: the archived store's key; the next run begins a new store with a new one"
