"""What a deployment needs of the world, as protocols.

`platform/google` drives the real services, `platform/embedded` the embedded ones. The Cloud Run part of both is the same
code over Google's own client; only the endpoint differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from pytest_deploy.platform.infrastructure import (
    Applied,
    InterruptedUpdate,
    NoInfrastructure,
    Preview,
    Recovered,
    StackState,
    Update,
)


@dataclass(frozen=True)
class Revision:
    """One immutable, deployed version of the service."""

    name: str
    """The platform's name of it, e.g. `parcels-00003-k7q`."""
    image: str
    """`<repository>@sha256:<64 hex>`."""
    ready: bool
    created: datetime
    """UTC."""
    annotations: Mapping[str, str]
    """What the pipeline wrote on it: `deploy.version`, `deploy.commit`, `deploy.run`; empty for a placeholder."""
    unpinned: tuple[str, ...] = ()
    """Variables and files of it that hold a secret's newest version, whichever that is when an instance starts."""

    @property
    def digest(self) -> str:
        """`sha256:<64 hex>`."""
        return self.image.partition("@")[2]


@dataclass(frozen=True)
class Share:
    """One line of a traffic split, as it is *serving* (status, not wish)."""

    revision: str
    percent: int
    tag: str = ""
    url: str = ""
    """Of the tag; empty where there is no tag."""


@dataclass(frozen=True)
class ServiceState:
    """The service as the platform reports it now."""

    url: str
    shares: tuple[Share, ...]
    """Serving now. Percents of lines add up to 100."""
    settled: bool
    """Whether what was asked for is what serves (spec equals status, not reconciling)."""
    etag: str

    def sole_revision(self) -> str | None:
        """The revision that serves all of the traffic, or None where traffic is split."""
        serving = {share.revision for share in self.shares if share.percent > 0}
        return serving.pop() if len(serving) == 1 else None

    def revision_at(self, url: str) -> str | None:
        """The revision that answers at an address: a tag's, or the sole one behind the service's own; None where no one does."""
        if url == self.url:
            return self.sole_revision()
        return next((share.revision for share in self.shares if share.url == url), None)


@dataclass(frozen=True)
class LastOutput:
    """What a revision printed last, to standard output and error, as far as the platform can read it."""

    lines: tuple[str, ...]
    """Oldest first, as printed: they may hold secrets and rows. Empty where it printed nothing, or the platform reads none."""
    place: str
    """Where all of it is read: a path below the checkout, or the query for the platform's own log."""


class Runtime(Protocol):
    """A Cloud Run service: immutable revisions, and traffic between them by percent and tag."""

    def state(self) -> ServiceState:
        """Read the service. Raises PlatformUnavailable where it does not exist or does not answer."""

    def revision(self, name: str) -> Revision:
        """Read one revision. Raises PlatformUnavailable where it does not exist."""

    def create(
        self, *, image: str, env: Mapping[str, str], tag: str, annotations: Mapping[str, str], deadline_s: float
    ) -> Revision:
        """Make a revision that serves 0 % and answers on the tag's URL; wait until it is ready.

        Raises RevisionFailed where it never becomes ready (within `deadline_s` seconds), PlatformUnavailable else.
        """

    def move(self, shares: Mapping[str, int], *, tags: Mapping[str, str], deadline_s: float) -> ServiceState:
        """Set percents by revision name (sum 100) and tags (tag -> revision); wait until that is what serves."""

    def last_output(self, revision: str, lines: int = 20) -> LastOutput:
        """The last lines that the revision printed, and where all of them lie."""

    def starts(self, revision: str) -> int | None:
        """How often an instance of the revision was started so far; None where the platform does not tell."""


class Artefacts(Protocol):
    """Where built artefacts live, by digest."""

    def push(self, archive: Path, *, tag: str) -> str:
        """Store an archive; return its image, `<repository>@sha256:<hex of the bytes>`. Pushing it again is no change."""

    def find(self, tag: str) -> str | None:
        """The image that carries this tag, or None."""


class Infrastructure(Protocol):
    """A stack: what lies under the service and the database, changed by running a program of the project.

    `program` is always a folder that holds the program of one commit, e.g. taken from that commit's objects; nothing is
    written outside it and the stack. Every method raises PlatformUnavailable where the engine does not run or ends with an
    error, and StackLocked where another update holds the stack.
    """

    def preview(self, program: Path) -> Preview:
        """What `apply` would do. Raises PendingOperations where an interrupted update was not made good."""

    def apply(
        self,
        program: Path,
        *,
        approved: Preview,
        may_destroy: frozenset[str],
        message: str,
        deadline_s: float,
        begin: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Carry out a preview that people approved; another than that is refused before anything is changed.

        `begin` is called once it is to be carried out, right before anything is changed; where it raises, nothing is. Raises Refused (nothing was changed), InfrastructureFailed (what was done and what not).
        """

    def restore(self, program: Path, *, to: StackState, message: str, deadline_s: float) -> Applied:
        """Run the program of the last good release, until the state is `to` again.

        Raises ManualInterventionRequired where it cannot be, or is not.
        """

    def state(self, program: Path) -> StackState:
        """The stack's state, with what is pending."""

    def refresh(self, program: Path, *, message: str) -> tuple[str, ...]:
        """Read what is really there into the state; URNs of what had been changed or was gone."""

    def history(self, program: Path, count: int = 10) -> tuple[Update, ...]:
        """The last updates, newest first."""

    def recover(
        self, program: Path, *, interrupted: InterruptedUpdate, message: str, ids: Mapping[str, str] | None = None
    ) -> Recovered:
        """Make good what a killed update left: its locks, and operations that nobody knows the end of.

        `ids` tells what a person looked up (URN -> id). Raises ManualInterventionRequired where something is left that no rule decides.
        """


@dataclass(frozen=True)
class DatabaseAccess:
    """How to reach the environment's database. `owner` runs migrations, and is a URL as `url`; `service` is what the service gets."""

    owner: str
    """A libpq connection string; its password, where there is one, is a secret."""
    service: str
    """A libpq URL as the service's DATABASE_URL."""
    role: str
    """The login role in it: what the migrations' group role is granted to."""
    programs: Path | None = None
    """The folder with pg_dump, pg_restore, psql of the server's version; None: the system's."""

    @property
    def url(self) -> str:
        """`owner` as a URL, for commands that take no other address, such as Django's and Alembic's; its password is a secret.

        Example:
            >>> DatabaseAccess("host=/run/pg port=5432 user=deployer dbname=parcels", "", "").url
            'postgresql://deployer@/parcels?host=/run/pg&port=5432'
        """
        from psycopg.conninfo import conninfo_to_dict

        given = {name: str(value) for name, value in conninfo_to_dict(self.owner).items() if value is not None}
        user, password, name = (quote(given.pop(key, ""), safe="") for key in ("user", "password", "dbname"))
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        host = given.get("host", "")
        at = ""
        if host and not host.startswith(("/", "@")) and "," not in host:
            at = f"[{host}]" if ":" in host else host
            at += f":{given['port']}" if "port" in given else ""
            given = {key: value for key, value in given.items() if key not in {"host", "port"}}
        # A `/` may stand as it is, and `%` is read twice where an alembic.ini is given the URL.
        rest = urlencode(given, quote_via=quote, safe="/")
        return f"postgresql://{login}{at}/{name}{f'?{rest}' if rest else ''}"


@dataclass(frozen=True)
class PlatformBackup:
    """A backup that the platform made and keeps."""

    kind: str
    """`cloud-sql`."""
    place: str
    """Its full name there."""
    bytes: int
    """As the platform counts them; 0 where it does not tell."""


class Admission(Protocol):
    """What lets a call through to a service that the platform itself guards."""

    def headers(self) -> Mapping[str, str]:
        """What a call must carry, made anew where it has aged. Raises PlatformUnavailable where it cannot be had."""

    def refusal(self, status: int, content_type: str, body: bytes) -> str:
        """Why the platform itself refused a call, and what mends it; empty where the service answered."""


class Platform(Protocol):
    """One environment's platform. Opening it starts what must run; closing releases it."""

    @property
    def runtime(self) -> Runtime:
        """Its Cloud Run service."""

    @property
    def artefacts(self) -> Artefacts:
        """Its registry."""

    @property
    def has_database(self) -> bool:
        """Whether the environment has a database: `database: null` says that it has none."""

    @property
    def database(self) -> DatabaseAccess:
        """How to reach its database. Raises UsageError where it has none."""

    def back_up(self, description: str, *, deadline_s: float) -> PlatformBackup | None:
        """A backup of the database by the platform itself, done when this returns; None where it makes none. Raises PlatformUnavailable."""

    @property
    def infrastructure(self) -> Infrastructure | NoInfrastructure:
        """What lies under the service and the database, or why nothing of it is changed here."""

    @property
    def admission(self) -> Admission | None:
        """What lets a call through to its service; None where every call is let through."""

    def close(self) -> None:
        """Release it. The embedded platform stops within 2 s of its last client's close."""
