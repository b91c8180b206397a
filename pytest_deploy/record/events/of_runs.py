"""The life of a run: request, lease, opening, plan, phases, steps, gates, decision, end."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from pytest_deploy.record.events.content import EventContent, Number, Sha256, StatedText

Pipeline = Literal["deploy", "plan", "smoke", "rollback", "iq", "oq", "pq"]
Outcome = Literal[
    "deployed", "refused", "failed", "rolled-back", "rollback-failed", "passed", "still-needed", "not-passed"
]
PhaseOutcome = Literal["passed", "failed", "still-needed", "not-applicable", "not-run"]
StepOutcome = Literal["passed", "failed", "error", "skipped", "still-needed", "not-applicable"]
Result = Literal["passed", "refused", "still-needed", "not-applicable"]
"""What a gate can answer. Still needed: time or signatures will lift it; not applicable: no rule asks for it here."""
GatePoint = Literal["plan", "lease", "change"]


class RequestMade(EventContent, frozen=True, kw_only=True):
    """A request for a run: the run's name exists from here on, and people may approve the request."""

    request_sha256: Sha256
    """Of request.json, which people sign."""
    expires: datetime | None
    """After this instant it starts no run."""
    requested_by: str
    environment: str | UnsetType = UNSET
    pipeline: str | UnsetType = UNSET
    commit: str | UnsetType = UNSET
    branch: str | UnsetType | None = UNSET
    version: str | UnsetType = UNSET
    image: str | UnsetType | None = UNSET
    """The artefact, `name@sha256:…`."""
    earlier: dict[str, Any] | UnsetType | None = UNSET
    """What a rollback restores: what served when the request was made, or of a rollback by hand what it goes back to; null where nothing did."""
    reason: StatedText | UnsetType | None = UNSET
    ticket: StatedText | UnsetType | None = UNSET
    plan: str | UnsetType = UNSET
    """The plan's own run."""
    steps_sha256: Sha256 | UnsetType = UNSET
    """Of the steps that the run will have."""
    config_sha256: Sha256 | UnsetType | None = UNSET
    """Of the environment's policy."""


class RequestVoided(EventContent, frozen=True, kw_only=True):
    """A request starts no run any more: something drifted, it expired, or somebody withdrew it."""

    cause: str
    request_sha256: Sha256 | UnsetType = UNSET
    detail: Any | UnsetType = UNSET
    by: str | UnsetType = UNSET


class LeaseTaken(EventContent, frozen=True, kw_only=True):
    """A run claimed the environment. The event's `seq` is the fencing token."""

    name: str
    """The environment."""
    holder: str
    until: datetime
    """The lease ends here unless it is renewed."""
    host: str | None
    pid: int | None
    process_started: Number | None
    """Seconds since the epoch; with host and pid it tells whether the holder still exists."""
    recovers: bool | UnsetType = UNSET
    """True where `recover` took over a run that was left open."""
    waited_s: Number | UnsetType = UNSET
    """Seconds that the run waited for another to end, where policy lets it wait (`lease.wait_s`)."""
    machine: str | UnsetType | None = UNSET
    workflow_run: str | UnsetType | None = UNSET
    workflow_attempt: int | UnsetType | None = UNSET


class LeaseRenewed(EventContent, frozen=True, kw_only=True):
    """The holder still works."""

    name: str
    until: datetime
    fence: int
    """`seq` of the lease.taken."""


class LeaseReleased(EventContent, frozen=True, kw_only=True):
    """The environment is free for the next run."""

    name: str
    fence: int
    """`seq` of the lease.taken."""


class RunOpened(EventContent, frozen=True, kw_only=True):
    """A run began: who, what, with which software, rules and steps."""

    environment: str
    pipeline: Pipeline
    deployer: str
    commit: str
    branch: str | None
    version: str
    image: str | None
    """The artefact, `name@sha256:…`; null until it is built."""
    rehearsal: bool
    dirty: bool
    """Whether the working tree differed from the commit."""
    request_sha256: Sha256 | None
    """Null where the run makes its request itself, after its build."""
    workflow_run: Any
    plugins: dict[str, Any]
    """Name -> version."""
    plugins_kept_out: dict[str, Any] | UnsetType = UNSET
    """Installed pytest plug-ins that took no part, name -> version."""
    config_sha256: Sha256 | None
    spec_sha256: Sha256 | None
    """Of the file that `requirements` of deploy.yaml names; null where it names none."""
    suites_sha256: Sha256 | None
    lock_sha256: Sha256 | None
    """Of steps.lock."""
    reason: StatedText | None
    sets: dict[str, Any] | UnsetType = UNSET
    """What the command line set over the policy, key -> value."""
    preimages: dict[str, Any] | UnsetType = UNSET
    """What the run was judged by: path, or what it is -> SHA-256; each lies in the store as `preimages/sha256/<hex>`."""
    substituted: dict[str, Any] | UnsetType = UNSET
    """What was used in place of the environment's own, by a rehearsal or the command line: policy's dotted key, `people` or `clock` -> `policy`, `used`."""
    programs: dict[str, Any] | UnsetType = UNSET
    """The programs that the run goes by, git, openssl, ssh-keygen -> `path`, `version` (its own words) and `sha256` of the file; one that is not installed is left out."""
    python: str | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    ticket: StatedText | UnsetType | None = UNSET
    target: Any | UnsetType = UNSET
    """Of a smoke run: the release that served, as the live service's own label says."""
    organisation: dict[str, Any] | UnsetType = UNSET
    """`name`, and `references` with `training` and `letter_to_fda`."""


class RunPlanned(EventContent, frozen=True, kw_only=True):
    """The steps that the run must have are fixed."""

    steps: int
    conditional: int
    """How many of them run only in a rollback."""
    steps_sha256: Sha256
    """Of the node ids, one a line, in order."""


class RunDecided(EventContent, frozen=True, kw_only=True):
    """The outcome. Nothing that comes later changes it."""

    outcome: Outcome
    cause: str | None
    duration_s: Number
    sla_s: Number | None
    exit_code: int | UnsetType = UNSET
    watch_s: Number | UnsetType = UNSET
    request: str | UnsetType | None = UNSET
    """Of a plan: the run that people may now approve."""
    earliest_start: datetime | UnsetType | None = UNSET
    owed: list[Any] | UnsetType = UNSET
    """What the request still needs before it may run."""


class RunClosed(EventContent, frozen=True, kw_only=True):
    """The run's folder is sealed and its evidence bound to the log."""

    outcome: Outcome
    """As decided."""
    record: str
    """The run's folder in the store, `runs/<run>`."""
    record_sha256: Sha256
    """Of SHA256SUMS."""
    missing: list[Any]
    """Files that could not be rendered."""


class RunAbandoned(EventContent, frozen=True, kw_only=True):
    """A run whose process died before anything was announced as changing; `recover` says so."""

    cause: str
    found_sha256: Sha256
    """Of FOUND.SHA256SUMS, written into the folder first."""


class PhaseStarted(EventContent, frozen=True, kw_only=True):
    """The steps of a phase may run."""

    phase: str


class PhaseFinished(EventContent, frozen=True, kw_only=True):
    """A phase ended as its steps did: passed is the phase in which one passed and none failed or is still needed. Or it was never begun (`not-run`)."""

    phase: str
    outcome: PhaseOutcome
    duration_s: Number
    cause: str | UnsetType | None = UNSET
    budget_s: Number | UnsetType | None = UNSET


class StepStarted(EventContent, frozen=True, kw_only=True):
    """A step begins; written durably before it acts."""

    nodeid: str
    phase: str
    changes: bool
    """Whether it may change the environment."""


class StepFinished(EventContent, frozen=True, kw_only=True):
    """How a step ended, and what it found."""

    nodeid: str
    phase: str
    outcome: StepOutcome
    duration_s: Number
    verifies: list[Any]
    """Requirement assertions that it exercised, and none where it did not pass."""
    attempts: int
    message: str | None
    warnings: list[Any]
    expected: Any
    actual: Any
    attachments: dict[str, Any]
    """File name -> SHA-256."""
    claims: list[Any] | UnsetType = UNSET
    """Requirement assertions that it can exercise."""
    image: str | UnsetType | None = UNSET
    """The artefact that the step built or found."""
    measured: dict[str, Any] | UnsetType = UNSET
    """Label -> seconds that it measured."""


class StepNotRun(EventContent, frozen=True, kw_only=True):
    """A step that was planned and did not run, and why."""

    nodeid: str
    phase: str
    cause: str
    claims: list[Any] | UnsetType = UNSET
    """Requirement assertions that it would have exercised."""


class GateVerdict(EventContent, frozen=True, kw_only=True):
    """What a gate said, with all that it was judged by."""

    gate: str
    point: GatePoint
    """When it was asked: `plan` by a plan; `lease` before the lease is taken, and again by the run's own steps; `change` right before
    the first change."""
    inputs: dict[str, Any]
    """Rule and facts, so that the verdict can be derived again."""
    verdict: Result
    reason: str
    earliest_start: datetime | None
    """Of a refusal that time cures."""
    remedy: str | UnsetType = UNSET

    @property
    def sentence(self) -> str:
        """The reason, and the remedy where there is one, in one line."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


class GatePassed(GateVerdict, frozen=True, kw_only=True):
    """A gate lets the run go on, by its rule or by a signed override."""


class GateRefused(GateVerdict, frozen=True, kw_only=True):
    """A gate stops the run, or would: `refused` until somebody mends something, `still-needed` until time or signatures lift it."""


class GateNotApplicable(GateVerdict, frozen=True, kw_only=True):
    """A gate has no rule in this environment's policy: it neither passed nor stops the run."""
