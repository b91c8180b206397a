"""One environment's policy: what was asked, resolved, frozen, and named by its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic import Field

from pytest_deploy.policy.gate_rules import (
    Approval,
    Blackout,
    Deployer,
    Incidents,
    Phases,
    RateLimit,
    StagingSmoke,
    Thaw,
    Window,
)
from pytest_deploy.policy.rollout import Database, Health, Organisation, Platform, Rollback, Service, Smoke, Traffic
from pytest_deploy.policy.storage import Anchors, Record, Retention
from pytest_deploy.policy.types import Seconds, Section


class Policy(Section):
    """All that deploy.yaml says of one environment: its own words over the file's top level.

    Durations are seconds (`_s`) or hours (`_h`); paths are relative to deploy.yaml. Null where a rule does not apply.
    """

    environment: str
    """the environment's name"""
    organisation: Organisation
    """name, domain and references"""
    service: Service
    """what is deployed"""
    database: Database
    """migrations and what the schema must hold"""
    platform: Platform
    """where it is deployed"""
    phases: Phases = Phases()
    """leave_out: [...]"""
    approval: Approval = Approval()
    """roles and expires_h"""
    deployer: Deployer | None = None
    """role, or null for anybody"""
    window: Window | None = None
    """zone, days, opens and closes, or null for any time"""
    blackout: Blackout | None = None
    """holidays and calendar, or null for none"""
    rate_limit: RateLimit | None = None
    """runs and per_h, or null for no limit"""
    staging_smoke: StagingSmoke | None = None
    """environment and within_h, or null where none is asked for"""
    incidents: Incidents | None = None
    """within_h, or null where none are asked about"""
    traffic: Traffic = Traffic()
    """steps_percent and settle_s"""
    smoke: Smoke = Smoke()
    """budget_s and query_s"""
    health: Health
    """watch_s, interval_s and allow_failures"""
    rollback: Rollback = Rollback()
    """order, budget_s, roles and ticket"""
    sla_s: Seconds
    """seconds the whole run may take, waiting for approval excluded, e.g. 600"""
    retention: Retention = Retention()
    """days, storage_class and locked"""
    record: Record = Record()
    """store, bucket, signer and key"""
    anchors: Anchors = Anchors()
    """required, lines, copies, github and timestamp"""
    freeze_after_rollback: bool = False
    """true where a rollback freezes the environment until somebody signs `thaw`; no run freezes by itself yet"""
    thaw: Thaw = Thaw()
    """roles"""
    dirty_tree: bool = False
    """true where uncommitted changes may be deployed"""
    step_timeout_s: Seconds = 120
    """seconds a step may take that sets no timeout of its own"""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """what --deploy-set changed, as given: {key: value}"""

    def origin(self, *, rehearsal: bool = False) -> str:
        """The record's origin: `<domain>/<environment>`, of a rehearsal `<domain>/rehearsal/<environment>`."""
        return f"{self.organisation.domain}/{'rehearsal/' if rehearsal else ''}{self.environment}"

    def place(self, *, rehearsal: bool = False) -> str:
        """Where the environment lies below anything that several share, a bucket or a folder of anchors."""
        return self.origin(rehearsal=rehearsal).partition("/")[2]

    def canonical(self) -> bytes:
        """The resolved policy as canonical JSON: keys sorted, no spaces, ASCII."""
        resolved = self.model_dump(mode="json")
        return json.dumps(resolved, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")

    def digest(self) -> str:
        """SHA-256 of `canonical()`, 64 hex; `config_sha256` in the record."""
        return hashlib.sha256(self.canonical()).hexdigest()
