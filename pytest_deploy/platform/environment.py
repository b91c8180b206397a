"""One process's hold on an environment: its policy, its platform (opened when first needed), its record, its secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cached_property, partial
from urllib.parse import unquote

from psycopg.conninfo import conninfo_to_dict

from pytest_deploy.errors import RecordError, UsageError
from pytest_deploy.platform.protocol import DatabaseAccess, Platform
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.bucket import EMULATOR, Bucket, emulated
from pytest_deploy.record.clock import Clock, ShiftedClock, SystemClock
from pytest_deploy.record.key import Signer
from pytest_deploy.record.log import Log
from pytest_deploy.record.mirrored_store import CopiedStore, copy_of
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.redaction import (
    SHORTEST,
    cut_rows,
    cut_rows_in_error,
    cut_rows_in_file,
    error_chain,
    redacted,
)
from pytest_deploy.record.secrets import Secrets
from pytest_deploy.record.store import FolderStore, Store
from pytest_deploy.workspace import Workspace

_NAMED_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY", re.IGNORECASE
)
_IN_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@]*):(?P<password>[^\s/@]+)@", re.IGNORECASE)
"""`postgres://user:password@host`, whatever the variable is called."""
_VARIABLE = 8
"""Characters of a variable that is taken for a secret, at least."""


class Environment:
    """What one process of a run holds open. `close` releases the platform, which then stops if nobody else holds it."""

    def __init__(
        self, workspace: Workspace, policy: Policy, *, run: str = "", shift_s: float = 0.0, clock: Clock | None = None
    ) -> None:
        """`run` is the run this process belongs to, if any; `shift_s` is what a rehearsal's clock is ahead of the real one."""
        self.workspace = workspace
        self.run = run
        self.policy = policy
        self.system = clock or SystemClock()
        """The real clock: events, leases and durations go by it."""
        self.shift = timedelta(seconds=shift_s)
        self.clock: Clock = ShiftedClock(self.system, self.shift) if workspace.rehearsal else self.system
        """The one clock that gates, claims, ages and expiry go by; a rehearsal's may be shifted."""
        self._opened: Platform | None = None
        if policy.platform.kind != "embedded" or policy.platform.runtime != "process":
            raise UsageError(
                f"environment {policy.environment!r} runs on platform {policy.platform.kind!r} "
                f"({policy.platform.runtime}); this version drives the embedded platform with processes only: "
                f"use --deploy-env=local, or rehearse it: --deploy-env={policy.environment} --deploy-rehearse"
            )

    @property
    def platform(self) -> Platform:
        """The platform, opened on first use. Raises PlatformUnavailable where it does not start."""
        if self._opened is None:
            from pytest_deploy.platform.embedded import connect

            self._opened = connect(
                self.workspace.root,
                environment=self.policy.environment,
                service=self.policy.service.name,
                command=self.policy.service.command,
                rehearsal=self.workspace.rehearsal,
            )
            self._learn_passwords(self._opened.database)
        return self._opened

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
        return record_of(self.workspace, self.policy, self.system, shift=shift, redact=self.redact, store=self.store)

    @cached_property
    def secrets(self) -> Secrets:
        """The environment's secrets."""
        return secrets_of(self.workspace, run=self.run)

    def _learn_passwords(self, access: DatabaseAccess) -> None:
        """Passwords that the platform made or was given; one that is its user's name is none."""
        for name, text in (("DATABASE_OWNER", access.owner), ("DATABASE_SERVICE", access.service)):
            said = conninfo_to_dict(text)
            password = str(said.get("password") or "")
            if len(password) >= SHORTEST and password != said.get("user"):
                self.secrets.learn(f"{name}_PASSWORD", password)

    @property
    def holds_subjects(self) -> bool:
        """Whether its rows may be subjects': everywhere but in local."""
        return _holds_subjects(self.workspace)

    def redact(self, text: str) -> str:
        """A text without any known secret and, outside local, without what PostgreSQL says of rows."""
        return _cut(text, self.workspace, self.secrets)

    def redact_error(self, error: BaseException) -> None:
        """Cut an error in place, with those it came from: every report writer reads the error itself."""
        if self.holds_subjects:
            cut_rows_in_error(error)
        for one in error_chain(error):
            one.args = tuple(redacted(one.args, self.redact))
            if notes := getattr(one, "__notes__", None):
                notes[:] = [self.redact(note) for note in notes]

    def redact_file(self, content: bytes) -> bytes:
        """A file without any secret that any process of the run knows."""
        self.secrets.take_in()
        content = self.secrets.redactor.data(content)
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
) -> Log:
    """The record of an environment, signed by the key that policy names; no text of an event holds a known secret.

    `redact` is asked about every text, where whoever opens it has met more secrets than the environment's own.

    Raises RecordError.
    """
    return open_record(
        store or record_store(workspace, policy),
        origin=policy.origin(rehearsal=workspace.rehearsal),
        key_file=workspace.key_file,
        signer=in_kms(policy.record.key) if policy.record.key is not None else None,
        clock=clock,
        actor=local_actor(),
        shift=shift,
        redact=redact or partial(_cut, workspace=workspace, known=secrets_of(workspace)),
    )


def secrets_of(workspace: Workspace, *, run: str = "") -> Secrets:
    """The environment's secrets, and what this process's variables hold."""
    known = Secrets(workspace.secrets_file, met=workspace.session(run) if run else None)
    for name, value in _of_the_process(os.environ):
        known.know(name, value)
    return known


def _holds_subjects(workspace: Workspace) -> bool:
    return workspace.environment != "local" or workspace.rehearsal


def _cut(text: str, workspace: Workspace, known: Secrets) -> str:
    return known.redact(cut_rows(text) if _holds_subjects(workspace) else text)


def _of_the_process(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """This process's variables that are named like secrets: whoever prints the environment prints them too."""
    for name, value in variables.items():
        # os.path: a token may be longer than a path can be, which Path.exists raises for.
        if _NAMED_SECRET.search(name) and len(value) >= _VARIABLE and not os.path.exists(value):  # noqa: PTH110
            yield name, value
        for found in _IN_AN_ADDRESS.finditer(value):
            for password in {found["password"], unquote(found["password"])}:
                if len(password) >= SHORTEST and password != found["user"]:
                    yield name, password


def in_kms(version: str) -> Signer:
    """A key version of Cloud KMS, as whoever this process is signed in as. Raises RecordError where nobody is."""
    try:
        from pytest_deploy.platform.google.kms import KmsSigner
    except ImportError as error:
        raise RecordError(
            f"Cloud KMS signs this record, and its client is not installed ({error}): pip install 'pytest-deploy[google]'"
        ) from error
    return KmsSigner.by_default_credentials(version)


def record_store(workspace: Workspace, policy: Policy) -> Store:
    """The place that policy names for the record of an environment, or of its rehearsals.

    The embedded platform's record never goes to Google, and a record of the cloud never to a stand-in. Raises UsageError.
    """
    rule, place = policy.record, policy.place(rehearsal=workspace.rehearsal)
    if rule.bucket is None:
        if found := copy_of(workspace.store):
            raise UsageError(
                f"{workspace.store} is the copy of {found}, and deploy.yaml lets the record lie in a folder: move the folder "
                "away, or give record: {store: gcs, ...} back"
            )
        return FolderStore(workspace.store)
    refuse_misplaced(policy, "record.store")
    return CopiedStore(Bucket(rule.bucket, "/".join(filter(None, (rule.prefix, place)))), workspace.store)


def refuse_misplaced(policy: Policy, key: str) -> None:
    """The embedded platform's buckets are at a loopback address, the cloud's are Google's. Raises UsageError."""
    embedded = policy.platform.kind == "embedded"
    if embedded and not emulated():
        raise UsageError(
            f"{key} is gcs, and {policy.environment} stays on this machine: set {EMULATOR} to a loopback address, or let it "
            "lie in a folder"
        )
    if emulated() and not embedded:
        raise UsageError(f"{key} is gcs, and {policy.environment} is real: unset {EMULATOR}, which leads to a stand-in")
