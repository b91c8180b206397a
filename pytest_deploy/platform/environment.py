"""One process's hold on an environment: its policy, its platform (opened when first needed), its record, its secrets."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from pytest_deploy.errors import RecordError, Refused, SecretLeft, UsageError
from pytest_deploy.platform.database_address import address_of
from pytest_deploy.platform.doppler import DopplerSecrets
from pytest_deploy.platform.installed import is_installed
from pytest_deploy.platform.protocol import DatabaseAccess, Platform
from pytest_deploy.policy.google import Google
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import programs
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.atomic_file import make_ignored
from pytest_deploy.record.clock import Clock, ShiftedClock, SystemClock
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import open_record, record_store
from pytest_deploy.record.plain_text import encodable
from pytest_deploy.record.redaction import NOT_WRITTEN, SHORTEST, redacted
from pytest_deploy.record.rows import cut_rows, cut_rows_in_error, cut_rows_in_file, error_chain
from pytest_deploy.record.secrets import Secrets, secrets_of
from pytest_deploy.record.store import Store
from pytest_deploy.workspace import Workspace

if TYPE_CHECKING:
    from pytest_deploy.platform.google.kms import KmsSigner

logger = logging.getLogger(__name__)

PEOPLE, CLOCK = "people", "clock"
"""What a rehearsal replaces beside policy's values."""


class Environment:
    """What one process of a run holds open. `close` releases the platform, which then stops if nobody else holds it."""

    def __init__(
        self, workspace: Workspace, policy: Policy, *, run: str = "", shift_s: float = 0.0, clock: Clock | None = None
    ) -> None:
        """`run` is the run this process belongs to, if any; `shift_s` is what a rehearsal's clock is ahead of the real one."""
        self.workspace = workspace
        self.run = run
        self.policy = policy
        self.system_clock = clock or SystemClock()
        """The real clock: events, leases and durations go by it."""
        self.shift = timedelta(seconds=shift_s)
        self.clock: Clock = ShiftedClock(self.system_clock, self.shift) if workspace.rehearsal else self.system_clock
        """The clock that gates, conditions, ages and expiry go by; a rehearsal's may be shifted."""
        self._opened: Platform | None = None
        programs.use(policy.programs)

    @property
    def platform(self) -> Platform:
        """The platform, opened on first use. Raises PlatformUnavailable where it does not start."""
        if self._opened is None:
            address = address_of(self.policy.database)
            self._learn_password("DATABASE_ADDRESS", address or "")
            self._opened = (
                self._at_google(address) if self.policy.platform.kind == "google" else self._embedded(address)
            )
            if self._opened.has_database:
                self._learn_passwords(self._opened.database)
            logger.info("the platform of %s is open", self.policy.environment)
        return self._opened

    def require_ready(self) -> None:
        """Ask what an environment at Google needs before anything begins. Raises Refused with a line for each thing that is lacking."""
        if self.policy.platform.kind != "google":
            return
        require_google_packages()
        from pytest_deploy.platform.google.readiness import refuse_unready

        refuse_unready(self.policy, address=address_of(self.policy.database), kms=partial(read_kms_key, self.policy))

    def _at_google(self, address: str | None) -> Platform:
        require_google_packages()
        from pytest_deploy.platform.google.platform import GooglePlatform
        from pytest_deploy.platform.pulumi.configured import infrastructure_of

        return GooglePlatform(
            self.policy,
            address=address,
            learn=partial(self.secrets.learn, "ID_TOKEN"),
            infrastructure=partial(infrastructure_of, self.policy, self.workspace.root),
        )

    def _embedded(self, address: str | None) -> Platform:
        from pytest_deploy.platform.embedded import connect
        from pytest_deploy.platform.pulumi.configured import infrastructure_of

        return connect(
            self.workspace.root,
            environment=self.policy.environment,
            service=self.policy.service.name,
            command=self.policy.service.command,
            rehearsal=self.workspace.rehearsal,
            database_url=address,
            with_database=self.policy.database is not None,
            containers=self.policy.platform.runtime == "container",
            build_network=self.policy.platform.build_network,
            infrastructure=partial(infrastructure_of, self.policy, self.workspace.root),
        )

    @property
    def migrations_folder(self) -> Path | None:
        """Where the migrations lie; None where there are none of this package's."""
        return None if self.policy.migrations is None else self.workspace.root / self.policy.migrations

    @cached_property
    def holds_subjects(self) -> bool:
        """Whether its database's rows may be subjects', as policy says."""
        return self.policy.holds_subjects(rehearsal=self.workspace.rehearsal)

    @cached_property
    def store(self) -> Store:
        """Where the record lies. Raises UsageError where it may not lie there; asks nothing of the place yet."""
        return record_store(self.workspace, self.policy)

    @property
    def has_record(self) -> bool:
        """Whether a record was ever begun here. Raises StoreUnavailable."""
        return next(iter(self.store.names("log/")), None) is not None

    @cached_property
    def log(self) -> Log:
        """The record, born on first use. Raises RecordError where it cannot be written or does not verify."""
        shift = self.shift if self.workspace.rehearsal else None
        return record_of(
            self.workspace, self.policy, self.system_clock, shift=shift, redact=self.redact, store=self.store
        )

    @property
    def substituted(self) -> Mapping[str, Mapping[str, Any]]:
        """What stands in place of the environment's own in this run: {key: {policy: …, used: …}}; policy's values by dotted key."""
        found = dict(self.policy.substituted)
        for nodeid, entry in self.policy.replaced_steps.items():
            found[f"replaced_steps.{nodeid}"] = {"policy": "the standard step", "used": f"{entry.by}: {entry.reason}"}
        if self.workspace.rehearsal and (store := self.policy.secrets_from) is not None:
            found["secrets_from"] = {
                "policy": f"Doppler's {store.doppler.project}/{store.doppler.config}",
                "used": "made up for the rehearsal",
            }
        if self.workspace.rehearsal:
            if self.policy.notify:
                found["notify"] = {"policy": "people are told", "used": "nobody is told of a rehearsal"}
            found[PEOPLE] = {"policy": "enrolled in the record", "used": "made for the rehearsal, with throw-away keys"}
        if self.shift:
            found[CLOCK] = {
                "policy": "the real time",
                "used": f"set by {self.shift.total_seconds():.0f} s, by --deploy-at",
            }
        return found

    @cached_property
    def secrets(self) -> Secrets:
        """The environment's secrets."""
        return secrets_of(self.workspace, self.policy.secrets, run=self.run, source=self._secret_source)

    @property
    def _secret_source(self) -> DopplerSecrets | None:
        """Where they are fetched; None where they are made up, as in every rehearsal."""
        store = self.policy.secrets_from
        if store is None or self.workspace.rehearsal:
            return None
        return DopplerSecrets(store.doppler.project, store.doppler.config)

    def _learn_passwords(self, access: DatabaseAccess) -> None:
        """Passwords that the platform made or was given; one that is its user's name is none."""
        for name, text in (("DATABASE_OWNER", access.owner), ("DATABASE_SERVICE", access.service)):
            self._learn_password(name, text)

    def _learn_password(self, name: str, conninfo: str) -> None:
        parameters = conninfo_to_dict(conninfo)
        password = str(parameters.get("password") or "")
        if len(password) >= SHORTEST and password != parameters.get("user"):
            self.secrets.learn(f"{name}_PASSWORD", password)

    def redact(self, text: str) -> str:
        """A text that UTF-8 can hold, without any known secret and, where rows may be subjects', without what PostgreSQL says of them."""
        cut = _cut(encodable(text), self.secrets, rows=self.holds_subjects)
        name = self.secrets.redactor.left(cut)
        return f"{NOT_WRITTEN}{name}]" if name else cut

    def redact_error(self, error: BaseException) -> None:
        """Cut an error in place, with those it came from: every report writer reads the error itself."""
        if self.holds_subjects:
            cut_rows_in_error(error)
        for member in error_chain(error):
            _redact_in_place(member, self.redact)

    def redact_file(self, content: bytes) -> bytes:
        """A file without any secret that any process of the run knows. Raises SecretLeft where a long part of one is left."""
        self.secrets.take_in()
        content = self.secrets.redactor.data(content)
        if name := self.secrets.redactor.left_in(content):
            raise SecretLeft(f"not written: the file holds a long part of {name}; write it without")
        return cut_rows_in_file(content) if self.holds_subjects else content

    def close(self) -> None:
        """Release the platform."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def record_of(
    workspace: Workspace,
    policy: Policy,
    clock: Clock,
    *,
    shift: timedelta | None = None,
    redact: Callable[[str], str] | None = None,
    store: Store | None = None,
    new_record: str = "",
) -> Log:
    """The record of an environment, signed by the key that policy names; no text of an event holds a known secret.

    `redact` is asked about every text, where whoever opens it has met more secrets than the environment's own; `new_record` is
    why one begins where one was before.

    Raises RecordError, Refused (as `open_record`).
    """
    # What is written from here on, the log's key first, git never takes in.
    for folder in (workspace.state, workspace.reports):
        with suppress(OSError):  # where nothing can be written, the record says so in its own words
            make_ignored(folder)
    return open_record(
        store or record_store(workspace, policy),
        origin=policy.origin(rehearsal=workspace.rehearsal),
        key_file=workspace.key_file,
        signer=in_kms(policy.record.key, policy.platform.google) if policy.record.key is not None else None,
        clock=clock,
        actor=local_actor(),
        shift=shift,
        redact=redact
        or partial(
            _cut,
            known=secrets_of(workspace, policy.secrets),
            rows=policy.holds_subjects(rehearsal=workspace.rehearsal),
        ),
        new_record=new_record,
    )


def _redact_in_place(error: BaseException, redact: Callable[[str], str]) -> None:
    """Cut what an error was made with, where it lets itself be changed; what it says is cut again where it is put into words."""
    try:
        before = error.args
        after = tuple(redacted(before, redact))
        if any(one is not other and one != other for one, other in zip(before, after, strict=True)):
            error.args = after
        if notes := getattr(error, "__notes__", None):
            notes[:] = [redact(note) for note in notes]
    except Exception as fault:  # noqa: BLE001 -- a class of somebody else's: frozen, or with `args` of its own
        logger.debug("%s cannot be cut in place: %s", type(error).__name__, type(fault).__name__)


def _cut(text: str, known: Secrets, *, rows: bool) -> str:
    return known.redact(cut_rows(text) if rows else text)


def in_kms(version: str, google: Google | None = None) -> KmsSigner:
    """A key version of Cloud KMS, as whoever this process is signed in as, or at the stand-in that policy names.

    Raises RecordError where nobody is signed in, UsageError where stand-ins are asked and none is named for it.
    """
    loopback = google.loopback if google is not None else None
    if loopback is not None and loopback.kms is None:
        raise UsageError(
            "platform.google.loopback names no address for kms: nothing is sent to Google beside stand-ins"
        )
    try:
        from pytest_deploy.platform.google.kms import KmsSigner
    except ImportError as error:
        raise RecordError(
            f"Cloud KMS signs this record, and its client is not installed ({error}): pip install 'pytest-deploy[google]'"
        ) from error
    if loopback is not None and loopback.kms is not None:
        return KmsSigner.at_loopback(version, loopback.kms)
    return KmsSigner.by_default_credentials(version)


def read_kms_key(policy: Policy) -> None:
    """Ask Cloud KMS for the log's public key. Raises RecordError."""
    if policy.record.key is not None:
        in_kms(policy.record.key, policy.platform.google).public  # noqa: B018 -- read by being named


def require_google_packages() -> None:
    """Raises Refused with every client of Google that is not installed, and the command that installs them."""
    missing = [name for module, name in _GOOGLE_PACKAGES.items() if not is_installed(module)]
    if missing:
        command = shlex.join([sys.executable, "-m", "pip", "install", "pytest-deploy[google]"])
        raise Refused(f"an environment at Google needs {', '.join(missing)}, not installed here: `{command}`")


_GOOGLE_PACKAGES: Mapping[str, str] = {
    "google.cloud.run_v2": "google-cloud-run",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.kms_v1": "google-cloud-kms",
}
"""What is asked at Google, and the package itself does not bring: module -> distribution."""
