"""A Cloud Run service, driven through Google's own client. The embedded platform is driven by this very code.

Rules that hold here: a new revision never takes traffic by itself (every split names revisions, none says "latest"); what
is reported is what *serves*, read from the status, not what was asked for; every call has a timeout; an answer to a stale
read is asked again only if nobody has changed the split in the meantime.
"""

from __future__ import annotations

import math
import secrets
import shlex
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn, cast

import grpc
from google.api_core import exceptions as google_errors
from google.api_core import operation
from google.api_core.retry import Retry, if_exception_type
from google.auth import exceptions as sign_in_errors
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable, RevisionFailed
from pytest_deploy.platform.google.admission import Front
from pytest_deploy.platform.google.remedies import remedy_of, remedy_of_words
from pytest_deploy.platform.protocol import LastOutput, Revision, ServiceState, Share

CALL_S = 10.0
"""Timeout of one call."""

_LINES_OF_A_FAILURE = 40
"""Of what a revision printed that did not start."""

_TRIES = 4
"""Of a change whose etag turned out to be stale."""

_AGAIN = Retry(
    predicate=if_exception_type(google_errors.ServiceUnavailable), initial=0.1, maximum=1.0, multiplier=2.0, timeout=1.0
)
"""Reads may be repeated; changes are not, or only by their etag."""

_RIGHTS = {
    "run.services.get": "roles/run.developer",
    "run.services.update": "roles/run.developer",
    "run.revisions.get": "roles/run.developer",
    "run.routes.invoke": "roles/run.invoker",
}
"""What a deployment does to a service, and the role that holds the right."""

_POLL_S = 0.05
"""Between two looks at what is under way: the platform is near."""


class CloudRun:
    """One service; implements Runtime.

    `service` is its full name, `projects/P/locations/L/services/S`; whatever credentials it needs are the channel's.
    `command` (an empty one: the image's own) and `startup_s` overwrite the container's command and the patience of its TCP start-up probe (seconds), where
    the platform needs to be told. `last_output` reads what a revision printed last, by its name and the number of lines; without
    it the output lies in Cloud Logging, which is not read from here: its place says how. `starts` tells how often a revision's
    instances were started; Cloud Run's API does not.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        service: str,
        *,
        command: Sequence[str] | None = None,
        startup_s: float | None = None,
        last_output: Callable[[str, int], LastOutput] | None = None,
        starts: Callable[[str], int] | None = None,
    ) -> None:
        self.service = service
        self._services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        self._revisions = run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))
        self._command = command
        self._startup_s = startup_s
        self._last_output = last_output
        self._starts = starts

    def state(self) -> ServiceState:
        return service_state(self._read())

    def revision(self, name: str) -> Revision:
        read = self._read_revision(name)
        return Revision(
            name=name,
            image=read.containers[0].image,
            ready=is_ready(read),
            created=datetime.fromtimestamp(cast("datetime", read.create_time).timestamp(), UTC),
            annotations=dict(read.annotations),
            unpinned=unpinned(read),
        )

    def front(self) -> Front:
        """How it is reached. Raises PlatformUnavailable."""
        read = self._read()
        return Front(
            read.uri, read.invoker_iam_disabled, run_v2.IngressTraffic(read.ingress).name, tuple(read.custom_audiences)
        )

    def require_rights(self) -> None:
        """Raises PlatformUnavailable with every right that a deployment needs on it and whoever asks does not have."""
        doing = f"asking what may be done to {self.service}"
        with _answered(doing):
            asked = {"resource": self.service, "permissions": list(_RIGHTS)}
            held = set(self._services.test_iam_permissions(request=asked, retry=_AGAIN, timeout=CALL_S).permissions)
        if lacking := [right for right in _RIGHTS if right not in held]:
            roles = " and ".join(dict.fromkeys(_RIGHTS[right] for right in lacking))
            raise PlatformUnavailable(
                f"{doing}: {', '.join(lacking)} is not given to the identity of this run: give it {roles} on the service"
            )

    def create(
        self, *, image: str, env: Mapping[str, str], tag: str, annotations: Mapping[str, str], deadline_s: float
    ) -> Revision:
        """A new revision at 0 % under `tag`, the split pinned as it is."""
        __tracebackhide__ = True  # of a revision that does not start people read the step and what was printed
        until = time.monotonic() + deadline_s
        # 1. Pin the split as it is: no percent follows "latest" to the new revision. The tag comes to the new one.
        before = self._read()
        name = revision_name(short(self.service), before.generation + 1)
        kept = [
            traffic_target(name_of(line, before), line.percent, "" if line.tag == tag else line.tag)
            for line in before.traffic_statuses
            if line.tag != tag or line.percent
        ]
        template = partial(self._new_template, name, image, env, annotations)
        # 2. Ask for it, and wait until it is ready; where it never is, its last output goes into the error.
        doing = f"creating revision {name}"
        pending = self._change(doing, before, [*kept, traffic_target(name, 0, tag)], template)
        try:
            self._finish(pending, until)
        except TimeoutError:
            self._fail(name, f"revision {name} was not ready within {deadline_s:g} s")
        except google_errors.GoogleAPICallError as error:
            with suppress(PlatformUnavailable):  # because the revision did not start, or for another reason
                made = self._read_revision(name)
                if not made.reconciling and not is_ready(made):
                    self._fail(name, kept_text(error.message, WORDS_BYTES))
            raise _unavailable(doing, error) from error
        revision = self.revision(name)
        if not revision.ready:
            self._fail(name, f"revision {name} was created but is not ready")
        return revision

    def move(self, shares: Mapping[str, int], *, tags: Mapping[str, str], deadline_s: float) -> ServiceState:
        """Set percents and tags, and wait until that is what serves."""
        if sum(shares.values()) != 100 or min(shares.values()) < 0:  # noqa: PLR2004  # per cent
            raise ValueError(f"the percents {dict(shares)} do not add up to 100")
        until = time.monotonic() + deadline_s
        targets = [traffic_target(name, percent, "") for name, percent in shares.items() if percent]
        targets += [traffic_target(name, 0, tag) for tag, name in tags.items()]
        doing = f"moving traffic to {', '.join(f'{target.percent} % {target.revision}' for target in targets if not target.tag)}"
        pending = self._change(doing, self._read(), targets)
        failure: google_errors.GoogleAPICallError | None = None
        try:
            self._finish(pending, until)
        except TimeoutError:
            pass
        except google_errors.GoogleAPICallError as error:
            # The operation also fails for what is wrong elsewhere in the service; what serves decides.
            failure = error
        # What serves decides, not what the operation says.
        while True:
            service = self._read()
            state = service_state(service)
            if state.settled and split(service.traffic_statuses) == split(targets):
                return state
            if failure is not None and not service.reconciling:
                raise _unavailable(doing, failure)
            if time.monotonic() > until:
                serving = ", ".join(f"{share.percent} % {share.revision}" for share in state.shares if share.percent)
                raise PlatformUnavailable(
                    f"{doing}: after {deadline_s:g} s there serves {serving}; read the state again before you act"
                )
            time.sleep(_POLL_S)

    def last_output(self, revision: str, lines: int = 20) -> LastOutput:
        if self._last_output is not None:
            return self._last_output(revision, lines)
        return LastOutput((), _in_cloud_logging(self.service, revision, lines))

    def starts(self, revision: str) -> int | None:
        return None if self._starts is None else self._starts(revision)

    def _read(self) -> run_v2.Service:
        with _answered(f"reading service {self.service}"):
            return self._services.get_service(name=self.service, retry=_AGAIN, timeout=CALL_S)

    def _read_revision(self, name: str) -> run_v2.Revision:
        with _answered(f"reading revision {name}"):
            return self._revisions.get_revision(name=f"{self.service}/revisions/{name}", retry=_AGAIN, timeout=CALL_S)

    def _change(
        self,
        doing: str,
        before: run_v2.Service,
        traffic: Sequence[run_v2.TrafficTarget],
        template: Callable[[run_v2.RevisionTemplate], run_v2.RevisionTemplate] | None = None,
    ) -> operation.Operation:
        """Send a change made from a fresh read; a stale etag is asked again for as long as the split is as it was."""
        service = before
        for _ in range(_TRIES):
            wanted = run_v2.Service(name=service.name, etag=service.etag, traffic=traffic)
            fields = ["traffic"]
            if template is not None:
                wanted.template = template(service.template)
                fields.append("template")
            request = run_v2.UpdateServiceRequest(service=wanted, update_mask={"paths": fields})
            try:
                with _answered(doing, but=google_errors.Aborted):
                    return self._services.update_service(request=request, timeout=CALL_S)
            except google_errors.Aborted as error:
                stale = error
            service = self._read()
            if split(service.traffic) != split(before.traffic) or split(service.traffic_statuses) != split(
                before.traffic_statuses
            ):
                raise PlatformUnavailable(
                    f"{doing}: somebody else changed the traffic of {self.service} meanwhile; nothing was changed here; "
                    "find out who, then try again"
                ) from stale
        raise _unavailable(doing, stale)

    def _finish(self, pending: operation.Operation, until: float) -> None:
        """Wait for an operation. Raises TimeoutError, Google's error of the operation itself, or PlatformUnavailable."""
        # A retry of our own: left to itself the library repeats a poll that gets no answer for ten minutes.
        with _answered(f"reading service {self.service}", but=google_errors.GoogleAPICallError):
            while not pending.done(retry=_AGAIN):  # type: ignore[no-untyped-call]  # its gap
                if time.monotonic() > until:
                    raise TimeoutError
                time.sleep(_POLL_S)
        pending.result()  # type: ignore[no-untyped-call]  # its gap

    def _fail(self, name: str, message: str) -> NoReturn:
        __tracebackhide__ = True
        said = self.last_output(name, _LINES_OF_A_FAILURE)
        where = "" if said.lines else f"; its output: {said.place}"
        if remedy := remedy_of_words(message):
            where = f"; {remedy}{where}"
        # Without the client's own errors before it: the message holds what they say.
        raise RevisionFailed(f"{message}{where}", revision=name, log="\n".join(said.lines)) from None

    def _new_template(
        self,
        name: str,
        image: str,
        env: Mapping[str, str],
        annotations: Mapping[str, str],
        present: run_v2.RevisionTemplate,
    ) -> run_v2.RevisionTemplate:
        """The present template with another image, other plain variables and annotations; the rest is infrastructure's.

        Variables that refer to a secret are infrastructure's, too, and stay unless `env` names them.
        """
        new = run_v2.RevisionTemplate()
        run_v2.RevisionTemplate.copy_from(new, present)
        new.revision = name
        new.annotations = dict(annotations)
        container = new.containers[0]
        secret = [variable for variable in container.env if "value_source" in variable and variable.name not in env]
        container.image = image
        container.env = [*(run_v2.EnvVar(name=key, value=value) for key, value in sorted(env.items())), *secret]
        if self._command is not None:
            container.command = list(self._command)
        if self._startup_s is not None:
            container.startup_probe = run_v2.Probe(
                tcp_socket=run_v2.TCPSocketAction(),
                period_seconds=1,
                failure_threshold=max(1, math.ceil(self._startup_s)),
            )
        return new


@contextmanager
def _answered(doing: str, *, but: type[Exception] = KeyError) -> Iterator[None]:
    """Every way in which Google's client says that a call failed becomes PlatformUnavailable, except `but`."""
    try:
        yield
    except but:
        raise
    except (google_errors.GoogleAPIError, sign_in_errors.GoogleAuthError, grpc.RpcError) as error:
        raise _unavailable(doing, error) from error


def _in_cloud_logging(service: str, revision: str, lines: int) -> str:
    """How the output of a revision is read where Cloud Run keeps it."""
    _, project, _, region, _, name = service.split("/")
    query = (
        f'resource.type="cloud_run_revision" AND resource.labels.location="{region}" '
        f'AND resource.labels.service_name="{name}" AND resource.labels.revision_name="{revision}"'
    )
    return f"Cloud Logging, `{shlex.join(['gcloud', 'logging', 'read', query, f'--project={project}', f'--limit={lines}'])}`"


def _unavailable(doing: str, error: Exception) -> PlatformUnavailable:
    if isinstance(error, google_errors.RetryError) and error.cause is not None:
        error = error.cause
    return PlatformUnavailable(f"{doing}: {kept_text(str(error), WORDS_BYTES)}; {remedy_of(error)}")


# --- Google's messages of a Cloud Run service and ours, each from the other. Pure.

TO_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
TO_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


def traffic_target(revision: str, percent: int, tag: str) -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=TO_REVISION, revision=revision, percent=percent, tag=tag)


def name_of(line: run_v2.TrafficTargetStatus, service: run_v2.Service) -> str:
    return line.revision or (short(service.latest_ready_revision) if line.type_ == TO_LATEST else "")


def split(
    lines: Sequence[run_v2.TrafficTarget] | Sequence[run_v2.TrafficTargetStatus],
) -> tuple[dict[str, int], dict[str, str]]:
    """Percent by revision and revision by tag: two splits are the same if these are."""
    percents: dict[str, int] = {}
    for line in lines:
        if line.percent:
            percents[line.revision] = percents.get(line.revision, 0) + line.percent
    return percents, {line.tag: line.revision for line in lines if line.tag}


def revision_name(service: str, generation: int) -> str:
    """A name as Cloud Run gives them: `<service>-00003-k7q`."""
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(3))
    return f"{service}-{generation:05d}-{suffix}"


def service_state(service: run_v2.Service) -> ServiceState:
    return ServiceState(
        url=service.uri,
        shares=tuple(
            Share(name_of(line, service), line.percent, line.tag, line.uri) for line in service.traffic_statuses
        ),
        settled=not service.reconciling
        and service.observed_generation == service.generation
        and split(service.traffic) == split(service.traffic_statuses),
        etag=service.etag,
    )


def unpinned(revision: run_v2.Revision) -> tuple[str, ...]:
    """What of it refers to a secret's version `latest`, in order."""
    variables = [
        f"{variable.name} ({short(variable.value_source.secret_key_ref.secret)})"
        for container in revision.containers
        for variable in container.env
        if "value_source" in variable and variable.value_source.secret_key_ref.version in _NEWEST
    ]
    files = [
        f"{volume.name}/{item.path} ({short(volume.secret.secret)})"
        for volume in revision.volumes
        if "secret" in volume
        for item in volume.secret.items or [run_v2.VersionToPath()]
        if item.version in _NEWEST
    ]
    return (*variables, *files)


_NEWEST = ("", "latest")


def is_ready(revision: run_v2.Revision) -> bool:
    return any(
        line.type_ == "Ready" and line.state == run_v2.Condition.State.CONDITION_SUCCEEDED
        for line in revision.conditions
    )


def short(name: str) -> str:
    return name.rpartition("/")[2]
