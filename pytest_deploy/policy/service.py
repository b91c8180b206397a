"""What is deployed and where. A field's docstring says what belongs there; it is shown when the value does not."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pytest_deploy.policy.types import (
    Argv,
    Domain,
    Line,
    Names,
    RelativePath,
    Seconds,
    Section,
    Text,
    UrlPath,
    Variables,
    complaint,
)


class References(Section):
    """Where the organisation keeps what its procedures owe and no software holds. Cited in reports, never opened."""

    training: Line | None = None
    """where the training of those who deploy and sign is recorded (21 CFR 11.10(i)), one line of at most 300 characters, or null"""
    letter_to_fda: Line | None = None
    """the letter to FDA that electronic signatures are binding (21 CFR 11.100(c)), one line of at most 300 characters, or null"""


class Organisation(Section):
    """Who answers for the record."""

    name: Text
    """the organisation's name, as reports print it"""
    domain: Domain
    """its domain in lower case, e.g. example.org; the record's origin begins with it"""
    references: References = References()
    """training and letter_to_fda"""


class Checks(Section):
    """REQ-o00043-E: what must pass before anything is deployed."""

    lint: Argv
    """the lint command as a list of words, e.g. [ruff, check, .]"""
    types: Argv
    """the type check as a list of words, e.g. [mypy, .]"""
    tests: Argv
    """the test command as a list of words, e.g. [pytest, -q]"""


class Service(Section):
    """What is deployed."""

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$")]
    """lower-case letters, digits and hyphens, as Cloud Run asks, e.g. diary"""
    source: RelativePath
    """the folder the artefact is made of; checks run there"""
    command: Argv
    """what starts the service, as a list of words"""
    health: UrlPath = "/health"
    """the path that answers 200 when the service is well, e.g. /health"""
    env: Variables = Field(default_factory=dict)
    """environment variables as NAME: 'text'; never a secret"""
    checks: Checks
    """the lint, types and tests commands"""
    check_timeout_s: Seconds = 300
    """seconds one check may take"""
    account: Argv | None = None
    """the command that makes the synthetic smoke account, as a list of words, or null"""


class Required(Section):
    """What the schema must hold after a migration (smoke: data integrity)."""

    tables: Names = ()
    """tables as schema.table, e.g. [diary.entry]"""
    functions: Names = ()
    """functions as schema.function, e.g. [diary.schema_version]"""
    triggers: Names = ()
    """triggers as schema.table.trigger, e.g. [diary.audit.append_only]"""


class Database(Section):
    """How the schema moves."""

    migrations: RelativePath
    """the folder of migrations"""
    required: Required = Required()
    """tables, functions and triggers that must exist"""
    lock_timeout_s: Seconds = 5
    """seconds a migration waits for a lock before it gives up (REQ-o00044-K)"""
    budget_s: Seconds = 300
    """seconds after which a migration that still runs raises an alert (REQ-o00044-L)"""
    restore_rate: Annotated[float, Field(ge=0, le=1)] = 1
    """the share of backups proven by a restore, from 0 to 1"""

    @model_validator(mode="after")
    def _lock_within_budget(self) -> Self:
        if self.lock_timeout_s > self.budget_s:
            raise complaint(
                f"waits {self.lock_timeout_s:g} s for a lock, longer than the budget of {self.budget_s:g} s",
                "give a lock_timeout_s below budget_s",
                at="lock_timeout_s",
            )
        return self


class Google(Section):
    """Where on Google Cloud."""

    project: Text
    """the project's id"""
    region: Text
    """the region, e.g. us-east4"""


class Platform(Section):
    """Where it is deployed."""

    kind: Literal["embedded", "google"]
    """embedded (on this machine) or google"""
    runtime: Literal["process", "container"] = "process"
    """process or container"""
    google: Google | None = None
    """project and region where kind is google, else null"""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.kind == "embedded" and self.google is not None:
            raise complaint("the embedded platform has no Google settings", "set google: null", at="google")
        if self.kind == "google" and self.google is None:
            raise complaint("the Google platform needs to know where", "give google: {project, region}", at="google")
        if self.kind == "google" and self.runtime != "container":
            raise complaint("Cloud Run runs containers", "set runtime: container", at="runtime")
        return self
