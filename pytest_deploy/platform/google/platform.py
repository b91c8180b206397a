"""One environment at Google Cloud: the service, its images, its database, and what lets a call through to it.

Everything goes through Google's own clients. Where policy names stand-ins (`platform.google.loopback`), each goes to the one
that is named for it, and to Google nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from functools import cached_property, partial

import grpc
from google.api_core import grpc_helpers

from pytest_deploy.errors import UsageError
from pytest_deploy.platform.containers import ContainerArtefacts, google_login
from pytest_deploy.platform.google.admission import GOOGLES, IdTokens
from pytest_deploy.platform.google.channels import loopback_channel
from pytest_deploy.platform.google.cloud_sql import GOOGLES as CLOUD_SQL
from pytest_deploy.platform.google.cloud_sql import CloudSqlBackups
from pytest_deploy.platform.google.database import database_access
from pytest_deploy.platform.google.run import CloudRun
from pytest_deploy.platform.google.sign_in import SCOPES, Identity, sign_in
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.platform.protocol import Artefacts, DatabaseAccess, Infrastructure, PlatformBackup
from pytest_deploy.policy.google import Google, Loopback
from pytest_deploy.policy.policy import Policy

logger = logging.getLogger(__name__)

_RUN = "run.googleapis.com:443"


class GooglePlatform:
    """Implements Platform. Nothing is asked before it is needed, but for the sign-in."""

    def __init__(
        self,
        policy: Policy,
        *,
        address: str | None,
        learn: Callable[[str], object] = lambda token: None,
        infrastructure: Callable[[], Infrastructure | NoInfrastructure] = lambda: NoInfrastructure("none is named"),
    ) -> None:
        """`address` is the database's, where there is one; `learn` hears each ID token; `infrastructure` is looked for where it is asked for.

        Raises Refused where nobody is signed in.
        """
        google = _google(policy)
        identity = sign_in(google)
        self._google = google
        self._identity = identity
        self._policy = policy
        self._address = address
        self._stack = infrastructure
        self._channel = run_channel(google, identity)
        self.runtime = CloudRun(self._channel, service_name(policy))
        """Its Cloud Run service."""
        self.admission = IdTokens(identity, self.runtime.front, at=iam_credentials(google.loopback), learn=learn)
        """What a call of the service must carry."""
        logger.debug("Cloud Run is asked as %s", identity.email or "a person")

    @cached_property
    def artefacts(self) -> Artefacts:
        """Its registry; a release is built here, into a container image. Raises UsageError where stand-ins lack one."""
        login = partial(google_login, self._identity.credentials) if self._google.loopback is None else None
        network = self._policy.platform.build_network
        return ContainerArtefacts(image_repository(self._policy), login=login, network=network)

    @property
    def infrastructure(self) -> Infrastructure | NoInfrastructure:
        """What policy names. Raises PlatformUnavailable where Pulumi is not installed, or a variable it needs is not set."""
        return self._stack()

    @property
    def has_database(self) -> bool:
        """Whether the environment has a database: `database: null` says that it has none."""
        return self._policy.database is not None

    @property
    def database(self) -> DatabaseAccess:
        """How to reach its database. Raises UsageError where it has none, PlatformUnavailable where it does not answer."""
        if not self.has_database:
            raise UsageError("this environment has no database: deploy.yaml says database: null")
        return self._database

    @cached_property
    def _database(self) -> DatabaseAccess:
        return database_access(self._address, self._google.sql)

    def back_up(self, description: str, *, deadline_s: float) -> PlatformBackup:
        """A backup by Cloud SQL, SUCCESSFUL when this returns. Raises UsageError where policy names no instance, PlatformUnavailable."""
        sql, loopback = self._google.sql, self._google.loopback
        if sql is None:
            raise UsageError("platform.google.sql is not said: give it {instance, service_role}")
        if loopback is not None and loopback.sql_admin is None:
            raise UsageError(
                "platform.google.loopback names no address for sql_admin: nothing is sent to Google beside stand-ins"
            )
        at = CLOUD_SQL if loopback is None else f"http://{loopback.sql_admin}"
        backups = CloudSqlBackups(self._identity.credentials, self._google.project, sql.instance, at=at)
        with closing(backups):
            return backups.back_up(description, deadline_s=deadline_s)

    def close(self) -> None:
        """Give the connections back; what runs at Google runs on."""
        self.admission.close()
        self._channel.close()


def service_name(policy: Policy) -> str:
    """The service's full name."""
    google = _google(policy)
    return f"projects/{google.project}/locations/{google.region}/services/{policy.service.name}"


def image_repository(policy: Policy) -> str:
    """Where its images lie: in Artifact Registry, or in the registry that is named beside stand-ins. Raises UsageError where none is."""
    google, loopback = _google(policy), _google(policy).loopback
    if loopback is not None and loopback.registry is None:
        raise UsageError(
            "platform.google.loopback names no address for registry: nothing is sent to Google beside stand-ins"
        )
    host = loopback.registry if loopback is not None else f"{google.region}-docker.pkg.dev"
    return f"{host}/{google.project}/{policy.service.name}/{policy.service.name}"


def run_channel(google: Google, identity: Identity) -> grpc.Channel:
    """A channel to Cloud Run. Whoever opens it closes it."""
    if google.loopback is not None:
        return loopback_channel(google.loopback.run)
    channel: grpc.Channel = grpc_helpers.create_channel(_RUN, credentials=identity.credentials, scopes=SCOPES)
    return channel


def iam_credentials(loopback: Loopback | None) -> str:
    """Who mints ID tokens. Raises UsageError where stand-ins are asked, and none is named for it."""
    if loopback is None:
        return GOOGLES
    if loopback.iam_credentials is None:
        raise UsageError(
            "platform.google.loopback names no address for iam_credentials: nothing is sent to Google beside stand-ins"
        )
    return f"http://{loopback.iam_credentials}"


def _google(policy: Policy) -> Google:
    if policy.platform.google is None:
        raise UsageError(f"{policy.environment} is not at Google: platform.kind is {policy.platform.kind}")
    return policy.platform.google
