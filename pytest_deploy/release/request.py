"""The request: what is to be deployed, over what, under which policy. People sign the SHA-256 of its bytes.

A plan makes one for people to approve, a run that needs no approval makes its own. The same function renders both, and
renders once more right before an approved request is run: any drift voids it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from pytest_deploy.errors import RecordError, Refused, UsageError
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import stored_file
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event, canonical, of_type
from pytest_deploy.record.events import RequestMade, StepFinished, given
from pytest_deploy.record.run_state import LogState
from pytest_deploy.release import infrastructure, source
from pytest_deploy.release.live import read_baseline, refuse_newest_secrets
from pytest_deploy.release.source import Source
from pytest_deploy.workspace import Workspace, verify_command

PIPELINE: Final = "deploy"
NOT_DEPLOYED: Final = frozenset({"run", "branch", "expires", "plan", "reason", "ticket"})
"""Keys of a request that say who asked, when and why: nothing that is deployed depends on them."""
_SHOWN: Final = 120
"""Characters of a value that a message quotes."""


@dataclass(frozen=True)
class Plan:
    """The plan that made a request: where its evidence lies, and the schema diff its dry run showed."""

    run: str
    schema_diff_sha256: str
    """Of `runs/<run>/schema/planned.diff`."""


@dataclass(frozen=True)
class Request:
    """A request by its bytes: canonical JSON and a newline, as request.json holds them."""

    content: bytes

    @property
    def sha256(self) -> str:
        """What people sign, hex."""
        return digest(self.content)

    @cached_property
    def parsed(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self.content)
        return request

    @property
    def image(self) -> str:
        """The artefact, `<repository>@sha256:<64 hex>`."""
        return str(self.parsed["artefact"]["image"])

    @property
    def pipeline(self) -> str:
        """The pipeline that carries it out; one that does not say it is a deployment's."""
        return str(self.parsed.get("pipeline", PIPELINE))

    def event_content(self) -> RequestMade:
        request = self.parsed
        return RequestMade(
            request_sha256=self.sha256,
            expires=None if request["expires"] is None else parse_stamp(request["expires"]),
            requested_by=local_actor(),
            environment=request["environment"],
            pipeline=self.pipeline,
            commit=request["commit"],
            branch=request["branch"],
            version=request["version"],
            image=self.image,
            earlier=request["earlier"],
            reason=request["reason"] or UNSET,
            ticket=request["ticket"] or UNSET,
            plan=request["plan"]["run"] if request["plan"] is not None else UNSET,
            steps_sha256=request["steps_sha256"],
            config_sha256=request["policy_sha256"],
        )


def build_request(
    environment: Environment,
    context: RunContext,
    source_: Source,
    *,
    run: str,
    image: str,
    steps_sha256: str,
    plan: Plan | None = None,
    previewed: Mapping[str, Any] | None = None,
) -> Request:
    """The request that would be made now for the run `run`.

    Args:
        environment: read for its policy and what is live in it.
        context: the run that makes the request: its checkout, reason and ticket.
        source_: the checkout the release is made from.
        run: id of the run that shall execute it.
        image: the artefact, `<repository>@sha256:<64 hex>`.
        steps_sha256: digest of the steps that such a run takes, hex.
        plan: what people are shown beside it; None where a run makes its request itself.
        previewed: what a request made a moment ago says of the infrastructure; None: it is previewed.

    Raises:
        ConfigurationError: a migration file is not valid.
        PlatformUnavailable: what is live cannot be read, or the infrastructure's program does not run.
        Refused: who wrote it cannot be told (a shallow clone), where somebody has to approve it; or what the infrastructure's
            program would change may not be changed; or what serves refers to a secret's newest version.
        ManualInterventionRequired: traffic is split, so there is nothing to return to.
    """
    policy, baseline = environment.policy, read_baseline(environment.platform)
    refuse_newest_secrets(environment.platform, baseline.revision)
    # Who approves wrote none of it: where nobody has to, history is not asked, and a shallow clone deploys.
    since = LogState.of(environment.log.history()).deployed_commit
    authors = source.authors(context.workspace.root, source_.commit, since) if policy.approval.roles else ()
    migrations = read_migrations(environment.migrations_folder)
    if previewed is None:
        serving = "" if baseline.release is None else baseline.release.commit
        planned = infrastructure.plan_infrastructure(environment, source_.commit, earlier_commit=serving)
        previewed = None if planned is None else planned.to_json()
    request = {
        "artefact": {"image": image},
        "authors": list(authors),
        "commit": source_.commit,
        "branch": source_.branch,
        "dirty": source_.dirty,
        "earlier": baseline.to_json(),
        "environment": policy.environment,
        "expires": stamp(environment.clock.now() + timedelta(hours=policy.approval.expires_h)),
        infrastructure.KEY: previewed,
        "migrations": [{"version": m.version, "name": m.name, "sha256": m.sha256} for m in migrations],
        "plan": None if plan is None else asdict(plan),
        "policy_sha256": policy.digest(),
        "reason": context.reason,
        "run": run,
        "steps_sha256": steps_sha256,
        "ticket": context.ticket,
        "version": source_.version,
    }
    return Request(canonical(request))


def digest(content: bytes) -> str:
    """SHA-256 hex of the request's bytes."""
    return hashlib.sha256(content).hexdigest()


def built_image(events: Sequence[Event]) -> str:
    """The artefact that the build phase stated. Raises RecordError where it stated none, or several."""
    images = built_images(events)
    if len(images) != 1:
        raise RecordError(f"the build phase stated {len(images)} artefacts; right is one `record.built(image)`")
    return images[0]


def built_images(events: Sequence[Event]) -> list[str]:
    """Every artefact that steps of a run stated, in order."""
    return [image for _, step in of_type(events, StepFinished) if (image := given(step.image))]


def drift(approved: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between an approved request and what the same request would say now, a sentence each."""
    found: list[str] = []
    for key in sorted((approved.keys() | current.keys()) - NOT_DEPLOYED):
        then, now = approved.get(key), current.get(key)
        if then != now:
            in_words = infrastructure.changes_of(then, now) if key == infrastructure.KEY else ()
            found += in_words or [f"{key} was {_short(then)}, is {_short(now)}"]
    return tuple(found)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# --- requests that wait to be run: made, not voided, not expired, and no run opened for them


@dataclass(frozen=True)
class PendingRequest:
    """A request that people may approve and a run may execute."""

    run: str
    commit: str
    sha256: str
    expires: datetime
    """UTC, by the environment's own clock."""
    requested_by: str
    """An actor: whoever made it deploys it."""
    made: Event
    pipeline: str = PIPELINE
    """What carries it out."""

    @property
    def shift(self) -> timedelta:
        """What the clock that it was made by is ahead of the real one: a rehearsal's may be."""
        return self.made.instant - self.made.time

    def __str__(self) -> str:
        return f"{self.run}  commit {self.commit[:12]}, by {self.requested_by}, until {stamp(self.expires)}"


def pending(events: Iterable[Event], at: datetime, *, real: bool = False) -> tuple[PendingRequest, ...]:
    """The requests of a log that wait at an instant, oldest first; `real`: at what each one's own clock says then."""
    requests = []
    for event in LogState.of(events).pending_requests():
        made = event.read(RequestMade)
        # A run that makes a request for itself gives it no time to wait.
        if made.expires is None or not (commit := given(made.commit)):
            continue
        pipeline = given(made.pipeline) or PIPELINE
        request = PendingRequest(
            event.run, commit, made.request_sha256, made.expires, made.requested_by, event, pipeline
        )
        if (at + request.shift if real else at) < made.expires:
            requests.append(request)
    return tuple(requests)


def stored_request(store: Path, run: str, events: Iterable[Event]) -> Request:
    """The request that its `request.made` names. Raises Refused where its bytes are gone, or others."""
    made = next((made for event, made in of_type(events, RequestMade) if event.run == run), None)
    place = f"runs/{run}/request.json"
    try:
        request = Request(stored_file.read(stored_file.file_of(store, place)))
    except OSError as error:
        raise Refused(
            f"{place} cannot be read ({error.strerror}); plan again, and see why: `{verify_command(store)}`"
        ) from None
    if made is None or made.request_sha256 != request.sha256:
        raise Refused(
            f"{place} is not the request that was made: somebody changed it; plan again, and see what: `{verify_command(store)}`"
        )
    return request


def choose(
    requests: Sequence[PendingRequest], *, workspace: Workspace, commit: str, run: str = "", options: Sequence[str] = ()
) -> PendingRequest:
    """The one request to run: that of `run` where it is named, else the only one for this commit.

    `options`: those of pytest that the plan of a missing one is to be made with. Raises UsageError with the list: none, or more than one.
    """
    wanted = [pending for pending in requests if (pending.run == run if run else pending.commit == commit)]
    if len(wanted) == 1:
        return wanted[0]
    what = f"request {run}" if run else f"requests for commit {commit[:12]}"
    others = "".join(f"\n  {pending}" for pending in (wanted or requests)) or "\n  (none is live)"
    plan = workspace.command_line("run", "--pipeline", "plan", *(["--", *options] if options else []))
    remedy = "name one with --deploy-run=RUN" if wanted else f"make one (`{plan}`), have it approved, then run it"
    raise UsageError(
        f"{workspace.environment} deploys what people approved: {len(wanted) or 'no'} live {what}; {remedy}{others}"
    )
