"""Where on Google Cloud an environment lies, and what stands in for Google where its platform is tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pytest_deploy.policy.types import Section, Text

Address = Annotated[str, Field(pattern=r"^(127\.0\.0\.1|localhost|\[::1\]):[1-9][0-9]{0,4}$")]
"""Of a stand-in: nothing else is ever asked without encryption and a sign-in."""


class Loopback(Section):
    """Stand-ins of this machine that are asked in place of Google, to try the Google platform itself: a deviation.

    With this section nothing is sent to Google: what is needed and not named here is refused. Nobody signs in.
    """

    run: Address
    """Cloud Run, as gRPC, e.g. 127.0.0.1:8085"""
    iam_credentials: Address | None = None
    """IAM Credentials, which mints ID tokens, as HTTP, e.g. 127.0.0.1:8086"""
    storage: Address | None = None
    """Cloud Storage, as HTTP, e.g. 127.0.0.1:8087"""
    registry: Address | None = None
    """a registry of images, as HTTP, e.g. 127.0.0.1:5000"""
    kms: Address | None = None
    """Cloud KMS, as gRPC, e.g. 127.0.0.1:8088"""
    sql_admin: Address | None = None
    """Cloud SQL Admin, as HTTP, e.g. 127.0.0.1:8089"""

    def __str__(self) -> str:
        return ", ".join(f"{name} at {address}" for name, address in self if address is not None)


class CloudSql(Section):
    """The instance of Cloud SQL that the database lies on. How it is reached, database.url or url_variable says."""

    instance: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,96}[a-z0-9])?$")]
    """its name in the project, e.g. parcels; it is backed up before the first migration"""
    service_role: Text
    """the role the service logs in as, e.g. parcels-service@example.iam; infrastructure makes it, and the migrations' group is granted to it"""


class Google(Section):
    """Where on Google Cloud."""

    project: Text
    """the project's id"""
    region: Text
    """the region, e.g. us-east4"""
    sql: CloudSql | None = None
    """instance and service_role where the service has a database, else null"""
    loopback: Loopback | None = None
    """the addresses of stand-ins where the platform itself is tried, or null for Google's own"""


def stood_in(google: Google | None, *, bucket: bool, key: bool) -> dict[str, Mapping[str, Any]]:
    """What stands in for Google's own, as `run.opened` states it under `substituted`; `bucket`, `key`: whether the record uses them."""
    if google is None or google.loopback is None:
        return {}
    asked = google.loopback
    found = {"platform.google.loopback": {"policy": "Google's own addresses", "used": str(asked)}}
    if bucket:
        found["record.bucket"] = {"policy": "in Cloud Storage", "used": f"a stand-in at {asked.storage}"}
    if key:
        found["record.key"] = {"policy": "in Cloud KMS", "used": f"a stand-in at {asked.kms}"}
    return dict(found)
