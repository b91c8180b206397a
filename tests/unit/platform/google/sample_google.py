"""A policy of an environment at Google whose services are stand-ins of this machine."""

from __future__ import annotations

from pathlib import Path

from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written

PLACE = "google: {project: example, region: us-east4}"
RECORD = "record: {store: gcs, bucket: example-record}"


def at_google(folder: Path, *, database: bool = False, record: str = RECORD, **addresses: str) -> Policy:
    """`production` at the stand-ins of these addresses; where none is given, at Google itself."""
    loopback = ", ".join(f"{name}: '{address.removeprefix('http://')}'" for name, address in addresses.items())
    place = PLACE[:-1] + (", loopback: {" + loopback + "}}" if loopback else "}")
    text = PRODUCTION.replace(PLACE, place).replace(RECORD, record)
    if not database:
        text = text.replace("  approval:", "  database: null\n    approval:")
    named = BASE.replace("name: diary", "name: parcels")
    return load(written(folder, named + text), "production")
