"""One environment's policy: what was asked, resolved, frozen, and named by its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.policy.infrastructure import Infrastructure
from pytest_deploy.policy.later_keys import LATER
from pytest_deploy.policy.notifications import Routes
from pytest_deploy.policy.phases import OPTIONAL, PHASES
from pytest_deploy.policy.replaced_steps import ReplacedSteps
from pytest_deploy.policy.rollout import (
    Database,
    Health,
    Organisation,
    Platform,
    ReleaseRules,
    Rollback,
    Service,
    Smoke,
    Traffic,
)
from pytest_deploy.policy.secret_store import SecretsFrom
from pytest_deploy.policy.storage import Anchors, Record, Retention
from pytest_deploy.policy.types import (
    Argv,
    Email,
    Hours,
    Names,
    ProgramPaths,
    RelativePath,
    Seconds,
    SecretNames,
    Section,
    Text,
    WallTime,
    Weekday,
    Zone,
    complaint,
    distinct,
)
from pytest_deploy.policy.user_verification import UserVerification

# --- Who and when: what must be so before a deployment may go. Null, or left out, where a rule does not apply.


def _may_be_left_out(name: str) -> str:
    if name not in PHASES:
        raise complaint(f"there is no phase {name!r}", f"phases that may be left out: {', '.join(OPTIONAL)}")
    if name not in OPTIONAL:
        raise complaint(
            f"the phase {name!r} is part of every deployment", f"only these may be left out: {', '.join(OPTIONAL)}"
        )
    return name


class Phases(Section):
    """Which phases this environment does without; their steps are recorded as not run."""

    leave_out: Annotated[tuple[Annotated[str, AfterValidator(_may_be_left_out)], ...], AfterValidator(distinct)] = ()
    """a list of phases among approval, backup, integration"""


class Approval(Section):
    """Whose signatures a deployment needs (REQ-o00043-B, C)."""

    roles: tuple[Text, ...] = ()
    """one role for each signature needed, e.g. [Tech Lead, QA Lead]; a person fills one role only"""
    expires_h: Hours = 24
    """hours an approval request lives"""
    outside: Names = ()
    """e-mails of commit authors who are nobody here and need no place in the roster, e.g. a bot's"""
    trust_root: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """the first roster that administrators signed, by its SHA-256 (`pytest-deploy keys list` prints it); null: not pinned"""
    user_verification: UserVerification = "none"
    """what a signature must be made with: pin (a FIDO token and its PIN or a finger), touch (a token that was touched), none (any key)"""


class RosterRules(Section):
    """Who may change who may sign, and for how long a roster stands (21 CFR 11.10(g), 11.300(b))."""

    administrators: Text = "Administrator"
    """the role whose holders sign each change of the roster"""
    quorum: Annotated[int, Field(ge=1)] = 2
    """how many of them it takes, of those whom the change does not concern"""
    days: Annotated[int, Field(ge=1, le=366)] = 90
    """days until a roster runs out; its renewal is the review of who may sign"""


class Thaw(Section):
    """Who may end the freeze that a rollback left."""

    roles: Annotated[Names, Field(min_length=1)] = ("Tech Lead",)
    """roles, one of which signs `pytest-deploy thaw`, e.g. [Tech Lead]"""


class Deployer(Section):
    """Who may start it."""

    role: Text
    """the role that may start a deployment, e.g. Deployment Manager"""


MOST_ACCOUNTS: Final = 25
"""Of one system: more nobody reviews, and the verdict that names each would fit no event."""
Accounts = Mapping[Text, Email]
"""Account, as the system's own API names it -> e-mail of the person who holds it, or answers for it."""


_OF_EVERYBODY: Final = ("allUsers", "allAuthenticatedUsers", "domain:")


class Administrators(Section):
    """Who administers what the record rests on: each account with its person, who has no business role (21 CFR 11.10(d), (g)).

    A system that is left out is not asked. Of one that is named, {} says that nobody administers it.
    """

    store: Accounts | None = None
    """who may delete from the record's bucket or change who may, as IAM names them, e.g. {'user:dana@example.org': dana@example.org}"""
    key: Accounts | None = None
    """who administers the log's key in Cloud KMS, as IAM names them, e.g. {'user:dana@example.org': dana@example.org}"""
    github: Accounts | None = None
    """who administers the repository of anchors.github, by login, e.g. {dana-dev: dana@example.org}"""
    database: Accounts | None = None
    """roles that log in to the environment's database as its administrators, e.g. {postgres: dana@example.org}"""

    @model_validator(mode="after")
    def _names_a_system(self) -> Self:
        if not self.listed:
            raise complaint("names no system", f"give {', '.join(type(self).model_fields)}, or administrators: null")
        for system, accounts in self.listed.items():
            if len(accounts) > MOST_ACCOUNTS:
                problem = f"{len(accounts)} accounts are listed, {MOST_ACCOUNTS} at most"
                raise complaint(problem, "take their rights from most", at=system)
            for account in accounts:
                if account.startswith(_OF_EVERYBODY) or account.endswith("/*"):
                    raise complaint(
                        f"{account} is everybody, for whom nobody answers",
                        "list people, groups and service accounts",
                        at=system,
                    )
        return self

    @property
    def listed(self) -> dict[str, dict[str, str]]:
        """The systems that are asked, each with its accounts."""
        return {name: dict(accounts) for name, accounts in self if accounts is not None}


class Window(Section):
    """When it may go (REQ-o00043-J); the whole run must fit inside."""

    zone: Zone
    """the IANA zone of the hours, e.g. America/New_York; there is no default"""
    days: Annotated[tuple[Weekday, ...], Field(min_length=1), AfterValidator(distinct)]
    """full names of weekdays, e.g. [Monday, Tuesday]"""
    opens: WallTime
    """HH:MM of a 24-hour clock, e.g. '09:00'"""
    closes: WallTime
    """HH:MM of a 24-hour clock, e.g. '15:00'; the first minute outside"""

    @property
    def length_s(self) -> int:
        """Seconds from opening to closing by the wall clock."""
        return (self.closes.hour - self.opens.hour) * 3600 + (self.closes.minute - self.opens.minute) * 60

    @model_validator(mode="after")
    def _opens_first(self) -> Self:
        if self.length_s <= 0:
            raise complaint(
                f"closes at {self.closes:%H:%M}, not after it opens at {self.opens:%H:%M}",
                "give a closing time later on the same day",
                at="closes",
            )
        return self


class Blackout(Section):
    """When it may not go, whatever the window says."""

    holidays: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
    """the country whose public holidays count, e.g. US"""
    calendar: RelativePath | None = None
    """a file of planned maintenance and own blackout periods; a year it does not cover blocks"""


class LeaseRules(Section):
    """What a start does where another run holds the environment."""

    wait_s: Annotated[float, Field(ge=0)] = 0
    """seconds it waits for that run to end, recorded, e.g. 900 in CI; 0: it is refused at once"""


class RateLimit(Section):
    """How often it may go (REQ-o00043-K)."""

    runs: Annotated[int, Field(ge=1)]
    """how many deployments"""
    per_h: Hours
    """in any so many hours"""


class StagingSmoke(Section):
    """REQ-o00043-D: which environment must have smoked the same artefact, and how lately."""

    environment: Text
    """an environment of this file"""
    within_h: Hours
    """hours since its smoke tests passed"""
    soak_h: Annotated[float, Field(ge=0)] = 0
    """hours that it must have been there by then, smoked, without a failed smoke or another release in between; 0: none"""


class Incidents(Section):
    """No critical incident open, nor opened lately."""

    within_h: Hours
    """hours to look back"""
    command: Argv | None = None
    """a program and its arguments that prints the incidents as JSON; the gate has no other source"""
    command_timeout_s: Seconds = 30
    """seconds it may take; longer blocks"""


# --- The whole.


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
    release: ReleaseRules = ReleaseRules()
    """tag_prefix"""
    database: Database | None
    """migrations and what the schema must hold, or null where the service has no database"""
    platform: Platform
    """where it is deployed"""
    infrastructure: Infrastructure | None = None
    """program, stack, backend and python, or null where a deployment changes none"""
    phases: Phases = Phases()
    """leave_out: [...]"""
    approval: Approval = Approval()
    """roles, expires_h, outside, trust_root and user_verification"""
    roster: RosterRules = RosterRules()
    """administrators, quorum and days"""
    deployer: Deployer | None = None
    """role, or null for anybody"""
    administrators: Administrators | None = None
    """store, key, github and database, or null where none are listed"""
    window: Window | None = None
    """zone, days, opens and closes, or null for any time"""
    blackout: Blackout | None = None
    """holidays and calendar, or null for none"""
    lease: LeaseRules = LeaseRules()
    """wait_s"""
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
    """watch_s, interval_s, allow_failures, of_last, min_samples, deadline_s and max_body_bytes"""
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
    notify: Routes = ()
    """who is told of what: a list of routes, each with to, occasions and url_variable; empty: nobody"""
    freeze_after_rollback: bool = False
    """true where a run that was rolled back, or could not be, freezes the environment until somebody signs `thaw`"""
    thaw: Thaw = Thaw()
    """roles"""
    dirty_tree: bool = False
    """true where uncommitted changes may be deployed"""
    plugins: Names = ()
    """installed pytest plug-ins that take part, by distribution, e.g. [pytest-asyncio]; every other is kept out"""
    replaced_steps: ReplacedSteps = Field(default_factory=dict)
    """standard steps that a step of suites/ stands in for, by node id: {by: node id, reason: a sentence}; a deviation"""
    step_timeout_s: Seconds = 120
    """seconds a step may take that sets no timeout of its own"""
    run_limit_s: Seconds | None = None
    """seconds after which a run is stopped and undone, or null for twice sla_s"""
    requirements: RelativePath | None = None
    """the file that holds the project's requirements, e.g. spec/requirements.md, or null for none"""
    secrets: SecretNames = ("SMOKE_USER", "SMOKE_PASSWORD")
    """what steps ask for by name, e.g. [SMOKE_USER, SMOKE_PASSWORD, API_TOKEN]; made up once and kept, unless `secrets_from` names a store"""
    secrets_from: SecretsFrom | None = None
    """the store that holds them: doppler, or null where they are made up; a rehearsal makes its own up in any case"""
    programs: ProgramPaths = Field(default_factory=dict)
    """where git, ssh-keygen, openssl, pg_dump, pg_restore lie, as NAME: /absolute/path; those not named are the system's"""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """what --deploy-set changed, as given: {key: value}"""
    substituted: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """values that a rehearsal or --deploy-set put in place of policy's own: {dotted key: {policy: …, used: …}}"""

    @property
    def migrations(self) -> str | None:
        """The folder of migrations, relative to deploy.yaml; None where there are none of this package's."""
        return None if self.database is None else self.database.migrations

    @property
    def seeds(self) -> str | None:
        """The folder of the project's own rows for trials, relative to deploy.yaml."""
        return None if self.database is None else self.database.seeds

    @property
    def run_limit(self) -> float:
        """Seconds after which a run is stopped and undone."""
        return 2.0 * self.sla_s if self.run_limit_s is None else float(self.run_limit_s)

    def holds_subjects(self, *, rehearsal: bool) -> bool:
        """Whether its database's rows may be subjects', and its record is evidence: not where it is embedded, is no rehearsal, and asks nobody for approval."""
        return self.platform.kind != "embedded" or rehearsal or bool(self.approval.roles)

    def replaced(self, *sections: str) -> tuple[str, ...]:
        """The dotted keys under these, or over them, whose value is not policy's own: what rests on them credits nothing."""
        return tuple(
            key
            for key in self.substituted
            if any(f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.") for one in sections)
        )

    def in_place_of(self, asked: Policy) -> Policy:
        """The same, with each value that stands in place of one of `asked`, which is policy's own."""
        own, used = (
            _values(policy.model_dump(mode="json", exclude={"settings", "substituted"})) for policy in (asked, self)
        )
        changed = [key for key in sorted({*own, *used}) if own.get(key) != used.get(key)]
        values = {key: {"policy": own.get(key), "used": used.get(key)} for key in changed}
        return self.model_copy(update={"substituted": values})

    def origin(self, *, rehearsal: bool = False) -> str:
        """The record's origin: `<domain>/<environment>`, of a rehearsal `<domain>/rehearsal/<environment>`."""
        return f"{self.organisation.domain}/{'rehearsal/' if rehearsal else ''}{self.environment}"

    def place(self, *, rehearsal: bool = False) -> str:
        """Where the environment lies below anything that several share, a bucket or a folder of anchors."""
        return self.origin(rehearsal=rehearsal).partition("/")[2]

    def canonical(self) -> bytes:
        """The resolved policy as canonical JSON: keys sorted, no spaces, ASCII.

        A key of `LATER` stands there where it is given: without it a policy has the digest that it had before there was the key.
        """
        resolved = self.model_dump(mode="json")
        for key in LATER:
            *sections, name = key.split(".")
            holder: Any = self
            document = resolved
            for section in sections:
                holder, document = (None, {}) if holder is None else (getattr(holder, section), document[section])
            if holder is None:
                continue
            if getattr(holder, name) == type(holder).model_fields[name].get_default(call_default_factory=True):
                del document[name]
        return json.dumps(resolved, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")

    def digest(self) -> str:
        """SHA-256 of `canonical()`, 64 hex; `config_sha256` in the record."""
        return hashlib.sha256(self.canonical()).hexdigest()


def _values(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Each single value or list of a document by its dotted key; a section that is there and empty is one too."""
    values: dict[str, Any] = {}
    for name, value in document.items():
        values |= (
            _values(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
        )
    return values
