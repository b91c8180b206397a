"""What is rolled out and where, how it proceeds, how it is watched, and how it is undone.

A field's docstring says what belongs there; it is shown when the value does not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pytest_deploy.policy.google import Google
from pytest_deploy.policy.types import (
    Argv,
    Count,
    DatabaseUrl,
    Domain,
    Line,
    Names,
    RelativePath,
    RepositoryPath,
    Role,
    Seconds,
    Section,
    TagPrefix,
    Text,
    UrlPath,
    VariableName,
    Variables,
    complaint,
)

_ALL = 100
"""Percent."""

# --- What is deployed, and where.


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

    lint: Argv | None = None
    """the lint command as a list of words, e.g. [ruff, check, .], or null for none"""
    types: Argv | None = None
    """the type check as a list of words, e.g. [mypy, .], or null for none"""
    tests: Argv | None = None
    """the test command as a list of words, e.g. [pytest, -q], or null for none"""


class Service(Section):
    """What is deployed."""

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$")]
    """lower-case letters, digits and hyphens, as Cloud Run asks, e.g. parcels"""
    source: RepositoryPath
    """the folder the artefact is made of; checks run there; it may lie elsewhere in the same git repository, e.g. ../../libs/parcels"""
    command: Argv
    """what starts the service, as a list of words"""
    health: UrlPath = "/health"
    """the path that answers any 2xx when the service is well, e.g. /health"""
    health_names_commit: bool = False
    """true where health must answer a JSON object whose `commit` is the release's, else the revision that answers is compared"""
    health_words: tuple[Text, ...] = (
        *("ok", "pass", "passed", "up", "healthy", "well", "warn"),
        *("alive", "live", "ready", "running", "serving", "available", "success"),
    )
    """what `status` of a JSON object that health answers may say, in lower case; any other text is a service that is not well"""
    env: Variables = Field(default_factory=dict)
    """environment variables as NAME: 'text'; never a secret"""
    checks: Checks = Checks()
    """the lint, types and tests commands; one that is not given is recorded as not applicable"""
    check_timeout_s: Seconds = 300
    """seconds one check may take"""
    account: Argv | None = None
    """the command that makes the synthetic smoke account and prints one JSON value, as a list of words, or null"""


class ReleaseRules(Section):
    """How a release is named, where one repository holds several services."""

    tag_prefix: TagPrefix | None = None
    """what the tags begin with that name this service's versions, e.g. parcels-; null: any tag does"""


class Required(Section):
    """What the schema must hold after a migration (smoke: data integrity)."""

    tables: Names = ()
    """tables as schema.table, e.g. [parcels.parcel]"""
    functions: Names = ()
    """functions as schema.function, e.g. [parcels.schema_version]"""
    triggers: Names = ()
    """triggers as schema.table.trigger, e.g. [parcels.audit.append_only]"""


class Database(Section):
    """How the schema moves."""

    migrations: RelativePath | None
    """the folder of migrations, or null where a step of suites/migration moves the schema by a command of the project's own"""
    url: DatabaseUrl | None = None
    """a database that is there already, as postgresql://USER@HOST/DATABASE without a password; null: PGHOST's server, else the embedded one"""
    url_variable: VariableName | None = None
    """the environment variable that holds such a URL, with its password, so that nothing of it stands here, e.g. PARCELS_DATABASE_URL"""
    required: Required = Required()
    """tables, functions and triggers that must exist"""
    lock_timeout_s: Seconds = 5
    """seconds a migration waits for a lock before it gives up (REQ-o00044-K)"""
    budget_s: Seconds = 300
    """seconds after which a migration that still runs raises an alert (REQ-o00044-L)"""
    outside_transaction: Literal["alone", "several"] = "alone"
    """alone: a migration that runs outside a transaction is the only one of its release; several: a release may commit step by step"""
    restore_rate: Annotated[float, Field(ge=0, le=1)] = 1
    """the share of backups proven by a restore, from 0 to 1"""
    service_group: Role | None = None
    """the group role whose rights the service gets, made and granted to by migrations, e.g. parcels_app; null: none"""
    trial: Literal["server", "beside"] | None = None
    """where migrations are tried: server (a throw-away one of the same major version), beside (a scratch database on the target's server); null: server, and beside where this machine has no programs for one"""
    seeds: RelativePath | None = None
    """the folder of a project's own rows for the trial, VERSION.sql for the schema of that version; null: rows are made up"""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if self.url is not None and self.url_variable is not None:
            raise complaint("the database is named twice, by url and by url_variable", "keep one", at="url_variable")
        return self

    @model_validator(mode="after")
    def _lock_within_budget(self) -> Self:
        if self.lock_timeout_s > self.budget_s:
            raise complaint(
                f"waits {self.lock_timeout_s:g} s for a lock, longer than the budget of {self.budget_s:g} s",
                "give a lock_timeout_s below budget_s",
                at="lock_timeout_s",
            )
        return self


class Platform(Section):
    """Where it is deployed."""

    kind: Literal["embedded", "google"]
    """embedded (on this machine) or google"""
    runtime: Literal["process", "container"] = "process"
    """process or container"""
    build_network: bool = False
    """whether the build of a container image may reach the network, for its base image and what its steps fetch"""
    google: Google | None = None
    """project, region, sql and loopback where kind is google, else null"""

    @property
    def at_google(self) -> bool:
        """Whether Google's own services are what is deployed to, and no stand-in: what shows something of them."""
        return self.google is not None and self.google.loopback is None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.kind == "embedded" and self.google is not None:
            raise complaint("the embedded platform has no Google settings", "set google: null", at="google")
        if self.kind == "google" and self.google is None:
            raise complaint("the Google platform needs to know where", "give google: {project, region}", at="google")
        if self.kind == "google" and self.runtime != "container":
            raise complaint("Cloud Run runs containers", "set runtime: container", at="runtime")
        if self.build_network and self.runtime != "container":
            raise complaint(
                "no image is built for a process", "set runtime: container, or leave it out", at="build_network"
            )
        return self


# --- How it proceeds, is watched and undone.


class Traffic(Section):
    """How requests move to the new revision."""

    steps_percent: Annotated[tuple[int, ...], Field(min_length=1)] = (100,)
    """rising percents that end at 100, e.g. [10, 50, 100]"""
    settle_s: Annotated[float, Field(ge=0)] = 0
    """seconds between two steps"""

    @property
    def settling_s(self) -> float:
        """Seconds spent between steps in all."""
        return self.settle_s * (len(self.steps_percent) - 1)

    @model_validator(mode="after")
    def _rises_to_all(self) -> Self:
        rising = (0, *self.steps_percent)
        if rising[-1] != _ALL or any(after <= before for before, after in pairwise(rising)):
            raise complaint(
                f"{list(self.steps_percent)} does not rise from above 0 to 100",
                "give rising percents that end at 100, e.g. [10, 50, 100]",
                at="steps_percent",
            )
        return self


class Smoke(Section):
    """REQ-o00043-H: the smoke tests' budgets."""

    budget_s: Seconds = 180
    """seconds for all of them together"""
    query_s: Seconds = 2
    """seconds the simple query may take"""


class Health(Section):
    """REQ-o00043-L: the watch after traffic has moved."""

    watch_s: Seconds
    """seconds the service is watched, e.g. 900"""
    interval_s: Seconds
    """seconds between two samples"""
    allow_failures: Count = 0
    """how many samples may fail: of the last of_last ones, else of all"""
    of_last: Annotated[int, Field(ge=1)] | None = None
    """of how many samples, counted back from each, allow_failures may fail, e.g. 20; null for all of the watch"""
    min_samples: Annotated[int, Field(ge=1)] | None = None
    """how many samples a watch must have to count, or null for half of those that watch_s and interval_s make, and one more than may fail"""
    deadline_s: Seconds = 10
    """seconds until the whole answer to one sample must be here, the connection included"""
    max_body_bytes: Annotated[int, Field(ge=1, le=16_000_000)] = 1_000_000
    """bytes that a sample's answer may have; a longer one fails the watch and is not read further"""

    @property
    def planned_samples(self) -> int:
        """Samples that the watch makes where nothing holds it up."""
        return int(self.watch_s / self.interval_s)

    @property
    def needed_samples(self) -> int:
        """Samples without which a watch proves nothing."""
        if self.min_samples is not None:
            return self.min_samples
        return max(-(-self.planned_samples // 2), self.allow_failures + 1)

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        samples = self.planned_samples
        if samples < 1:
            raise complaint(
                f"a sample every {self.interval_s:g} s gives none in {self.watch_s:g} s",
                "give an interval_s of at most watch_s",
                at="interval_s",
            )
        weighed = samples if self.of_last is None else min(samples, self.of_last)
        if self.allow_failures >= weighed:
            raise complaint(
                f"all of the {weighed} samples may fail, so that the watch proves nothing",
                f"allow at most {weighed - 1} failures",
                at="allow_failures",
            )
        if not self.allow_failures < self.needed_samples <= samples:
            raise complaint(
                f"{self.needed_samples} samples are asked for, of {samples} that the watch makes, {self.allow_failures} of which may fail",
                f"give a min_samples from {self.allow_failures + 1} to {samples}",
                at="min_samples",
            )
        return self


class Rollback(Section):
    """How a deployment is undone, and who may ask for it (REQ-o00043-I, REQ-o00044-H)."""

    order: Literal["traffic-first", "database-first"] = "traffic-first"
    """traffic-first (the old revision serves before the schema goes back) or database-first"""
    budget_s: Seconds = 300
    """seconds it may take"""
    roles: tuple[Text, ...] = ()
    """one role for each signature a requested rollback needs, e.g. [Tech Lead]"""
    ticket: bool = False
    """true where a requested rollback must give a reason and a ticket"""
