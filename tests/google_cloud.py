"""All of Google Cloud that a deployment meets, on this machine: each service at a loopback address of its own, and nothing of the embedded platform.

Cloud Run          its API and front end by Google's messages, each revision a real container   cloud_run_service.py, cloud_run_instances.py
Artifact Registry  a real registry (the CNCF's distribution)                                    oci_registry.py
Cloud Storage      a real server behind what a locked bucket refuses                            locked_bucket.py
Cloud KMS          Google's messages, a real Ed25519 key                                        kms_stand_in.py
IAM Credentials    ID tokens that nobody signed                                                 google_front_end.py
Cloud SQL          a real PostgreSQL, its socket below /cloudsql; backups by the Admin API      google_sql_admin.py
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import requests
from google.cloud import run_v2

from pytest_deploy.migrate import ledger, snapshot
from pytest_deploy.platform.embedded.postgres import EmbeddedServer
from tests import http_stand_in, kms_stand_in
from tests.cloud_run_instances import Instances
from tests.cloud_run_service import HELLO, CloudRunService
from tests.google_front_end import HEADER, IamCredentials
from tests.google_sql_admin import SqlAdmin, sql_admin
from tests.kms_stand_in import RING, KmsStandIn
from tests.locked_bucket import LockedBucket, locked_bucket
from tests.memory import short_parent
from tests.oci_registry import registry
from tests.project_checkout import Standing

PROJECT: Final = "example"
REGION: Final = "us-east4"
SERVICE: Final = f"projects/{PROJECT}/locations/{REGION}/services/diary"
INSTANCE: Final = "parcels"
CONNECTION: Final = f"{PROJECT}:{REGION}:{INSTANCE}"
DATABASE: Final = "diary"
SERVICE_ROLE: Final = "diary_service"
BUCKET: Final = "example-record"
ADDRESS: Final = "DIARY_DATABASE_URL"
"""The variable that holds the address by which the run logs in to the database."""
OWNERS_PASSWORD: Final = "canary-password-of-the-owner"
SERVICES_PASSWORD: Final = "canary-password-of-the-service"
_HBA: Final = "local all postgres trust\nlocal all all scram-sha-256\n"
"""Nobody but the server's own superuser is let in without a password."""


@dataclass
class GoogleCloud:
    """What there is; change it while it answers."""

    run: CloudRunService
    iam: IamCredentials
    bucket: LockedBucket
    kms: KmsStandIn
    sql: type[SqlAdmin]
    database: EmbeddedServer
    addresses: dict[str, str]
    """What `platform.google.loopback` says."""

    @property
    def instances(self) -> Instances:
        assert self.run.instances is not None
        return self.run.instances

    @property
    def images(self) -> list[str]:
        """Of the revisions that have an instance."""
        return [self.run.revisions[name].containers[0].image for name in self.instances.running]

    @property
    def variables(self) -> dict[str, str]:
        """What whoever deploys has in their environment."""
        return {ADDRESS: f"postgresql://deployer:{OWNERS_PASSWORD}@/{DATABASE}?host={self.database.folder}"}

    def ask(self, path: str, *, token: bool = True) -> requests.Response:
        """A call of the service at its own address, by somebody who may; without a token by anybody."""
        account = f"somebody@{PROJECT}.iam.gserviceaccount.com"
        mint = f"http://{self.addresses['iam_credentials']}/v1/projects/-/serviceAccounts/{account}:generateIdToken"
        headers = {}
        if token:
            answer = requests.post(mint, json={"audience": self.run.service.uri}, timeout=10)
            headers[HEADER] = f"Bearer {answer.json()['token']}"
        return requests.get(f"{self.run.service.uri}{path}", headers=headers, timeout=30)

    def standing(self) -> Standing:
        """Read what serves and what the database holds."""
        statuses = list(self.run.service.traffic_statuses)
        answer = self.ask("/health")
        return Standing(
            {line.revision: line.percent for line in statuses if line.percent},
            {line.tag: line.revision for line in statuses if line.tag},
            not self.run.service.reconciling,
            answer.status_code,
            answer.json(),
            *self.schema(),
        )

    def schema(self) -> tuple[tuple[str, ...], str]:
        """The migrations that are applied, and the digest of the schema."""
        owner = self.variables[ADDRESS]
        with psycopg.connect(owner, autocommit=True) as connection:
            applied = tuple(one.version for one in ledger.applied(connection))
        return applied, snapshot.snapshot(owner, self.database.programs).sha256

    def as_superuser(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database.conninfo(DATABASE), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def policy(self, name: str) -> str:
        """An environment of deploy.yaml that lies here."""
        loopback = ", ".join(f"{key}: '{address}'" for key, address in self.addresses.items())
        return f"""
  {name}:
    platform:
      kind: google
      runtime: container
      google:
        project: {PROJECT}
        region: {REGION}
        sql: {{instance: {INSTANCE}, service_role: {SERVICE_ROLE}}}
        loopback: {{{loopback}}}
    service: {{checks: {{lint: ['true'], types: ['true'], tests: ['true']}}}}
    database: {{url_variable: {ADDRESS}}}
    record: {{store: gcs, bucket: {BUCKET}, signer: kms, key: {RING}/1}}
    retention: {{locked: true}}
    phases: {{leave_out: [approval]}}
    traffic: {{steps_percent: [10, 50, 100], settle_s: 0}}
    health: {{watch_s: 1, interval_s: 0.25}}
    sla_s: 600
"""


@contextmanager
def google_cloud(folder: Path) -> Iterator[GoogleCloud]:
    """As infrastructure leaves it before the first release: the service with Google's own hello, an empty database and its two roles."""
    logs = folder / "cloud-logging"
    logs.mkdir(parents=True)
    iam, kms, sql = IamCredentials(), KmsStandIn(), sql_admin()
    run = CloudRunService.serving(SERVICE)
    with (
        _database() as database,
        registry(folder / "registry") as images,
        locked_bucket(BUCKET) as (bucket, storage),
        kms_stand_in.answering(kms) as keys,
        iam.answering() as tokens,
        http_stand_in.serving(sql) as admin,
        run.serving_calls(_instances(logs, database)) as api,
    ):
        _make_service(run)
        addresses = {
            "run": api,
            "iam_credentials": tokens,
            "storage": storage,
            "registry": images,
            "kms": keys,
            "sql_admin": admin,
        }
        bare = {key: address.removeprefix("http://") for key, address in addresses.items()}
        yield GoogleCloud(run, iam, bucket, kms, sql, database, bare)


def _instances(logs: Path, database: EmbeddedServer) -> Instances:
    url = f"postgresql://{SERVICE_ROLE}:{SERVICES_PASSWORD}@/{DATABASE}?host=/cloudsql/{CONNECTION}"
    return Instances(
        logs,
        f"pytest-deploy-tests={uuid.uuid4().hex[:12]}",
        secrets={("database-url", "3"): url},
        sockets={CONNECTION: database.folder},
    )


def _make_service(run: CloudRunService) -> None:
    """What infrastructure says of the service: how it starts, where its database is, and by which version of a secret it logs in."""
    source = run_v2.EnvVarSource(secret_key_ref=run_v2.SecretKeySelector(secret="database-url", version="3"))
    run.service.template.containers = [
        run_v2.Container(
            image=HELLO,
            env=[run_v2.EnvVar(name="DATABASE_URL", value_source=source)],
            startup_probe=run_v2.Probe(
                http_get=run_v2.HTTPGetAction(path="/health"), period_seconds=1, failure_threshold=30
            ),
            volume_mounts=[run_v2.VolumeMount(name="cloudsql", mount_path="/cloudsql")],
        )
    ]
    run.service.template.volumes = [
        run_v2.Volume(name="cloudsql", cloud_sql_instance=run_v2.CloudSqlInstance(instances=[CONNECTION]))
    ]
    run.service.traffic = [line for line in run.service.traffic if line.percent]
    run.service.traffic_statuses = [line for line in run.service.traffic_statuses if line.percent]
    run.add(run.service.traffic[0].revision)


@contextmanager
def _database() -> Iterator[EmbeddedServer]:
    folder = Path(tempfile.mkdtemp(prefix="pd-sql-", dir=short_parent()))
    folder.chmod(0o711)
    hba = folder / "pg_hba.conf"
    hba.write_text(_HBA, encoding="utf-8")
    hba.chmod(0o644)
    server = EmbeddedServer(folder / "server", settings={"fsync": "off", "hba_file": str(hba)})
    try:
        server.start()
        with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
            for words in (
                f"create role deployer login nosuperuser createdb createrole password '{OWNERS_PASSWORD}'",
                f"create role {SERVICE_ROLE} login nosuperuser password '{SERVICES_PASSWORD}'",
                f"create database {DATABASE} owner deployer",
            ):
                connection.execute(words.encode())
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
