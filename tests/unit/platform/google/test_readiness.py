"""Before anything begins at Google each thing that is lacking is a line with what mends it, and nothing is asked that rests on it."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.cloud import run_v2

from pytest_deploy.errors import RecordError, Refused
from pytest_deploy.platform.google.readiness import findings, refuse_unready
from pytest_deploy.policy.policy import Policy
from tests.google_cloud_run import RIGHTS, CloudRunApi
from tests.google_front_end import IamCredentials
from tests.locked_bucket import locked_bucket
from tests.unit.platform.google.sample_google import at_google

NOBODY = "127.0.0.1:1"


def read_no_key() -> None:
    raise RecordError(
        "reading the public key: PERMISSION_DENIED; the identity of this run needs roles/cloudkms.signerVerifier on the key"
    )


def told_of_cloud_run(policy: Policy) -> str:
    """What is wrong with it; nothing more is asked: each that does not answer is waited for."""
    asked = findings(policy, address=None, kms=read_no_key)
    return next(one.words for one in asked if one.name == "Cloud Run" and one.state == "wrong")


def test_what_is_there_and_permitted_is_told_as_right(tmp_path: Path) -> None:
    api, iam = CloudRunApi.serving(), IamCredentials()
    with api.answering() as run, iam.answering() as credentials, locked_bucket("example-record") as (_, storage):
        policy = at_google(tmp_path, run=run, iam_credentials=credentials, storage=storage)
        found = list(findings(policy, address=None, kms=read_no_key))
        refuse_unready(policy, address=None, kms=read_no_key)

    assert [(one.name, one.state) for one in found] == [
        ("sign-in", "right"),
        ("Cloud Run", "right"),
        ("ID token", "right"),
        ("record", "right"),
    ]
    assert "UpdateService" not in api.asked, "nothing is changed by asking"


LACKING = [
    ({"held": RIGHTS - {"run.services.update"}}, "run.services.update is not given to the identity of this run: give it roles/run.developer on the service"),
    ({"held": RIGHTS - {"run.routes.invoke"}}, "give it roles/run.invoker on the service"),
    ({"held": frozenset()}, "give it roles/run.developer and roles/run.invoker on the service"),
    ({"refuse": (grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")}, "sign in"),
    ({"refuse": (grpc.StatusCode.PERMISSION_DENIED, "Cloud Run Admin API has not been used in project example before or it is disabled.")}, "enable run.googleapis.com"),
    ({"refuse": (grpc.StatusCode.PERMISSION_DENIED, "Permission 'run.services.getIamPolicy' denied")}, "roles/run.developer on the service"),
    ({"refuse": (grpc.StatusCode.NOT_FOUND, "Resource 'parcels' does not exist")}, "the service itself is made by the infrastructure code"),
    ({"refuse": (grpc.StatusCode.UNAVAILABLE, "try later")}, "try again when the platform answers"),
]  # fmt: skip


@pytest.mark.parametrize("changed, said", LACKING, ids=[row[1][:40] for row in LACKING])
def test_what_cloud_run_lacks_is_a_line_with_what_mends_it(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    api = CloudRunApi.serving()
    for name, value in changed.items():
        setattr(api, name, value)
    with api.answering() as run, IamCredentials().answering() as credentials:
        found = told_of_cloud_run(at_google(tmp_path, run=run, iam_credentials=credentials))

    assert said in found
    assert "\n" not in found


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("ingress", run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY, "run it on a machine inside the VPC"),
        ("uri", "", "no run.app address"),
    ],
)
def test_a_service_that_no_tag_of_can_be_asked_is_told_before(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    api = CloudRunApi.serving()
    setattr(api.service, field, value)
    with api.answering() as run, IamCredentials().answering() as credentials:
        assert said in told_of_cloud_run(at_google(tmp_path, run=run, iam_credentials=credentials))


def test_every_thing_that_is_lacking_is_a_line_of_one_refusal(tmp_path: Path) -> None:
    key = "key: projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    record = f"record: {{store: gcs, bucket: example-record, signer: kms, {key}}}"
    policy = at_google(
        tmp_path, database=True, record=record, run=NOBODY, iam_credentials=NOBODY
    )  # without an address for the bucket: one that does not answer is waited for

    with pytest.raises(Refused) as caught:
        refuse_unready(policy, address=None, kms=read_no_key)

    first, *lines = str(caught.value).splitlines()
    assert first == "production is not ready, and nothing was written:"
    assert [line.partition(":")[0].strip() for line in lines] == [
        *("Cloud Run", "ID token", "record", "Cloud KMS", "database")
    ]
    assert "roles/cloudkms.signerVerifier" in lines[3]
    assert "database.url_variable" in lines[4]
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["deploy.yaml"]


def test_where_nobody_is_signed_in_nothing_more_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    found = findings(at_google(tmp_path), address=None, kms=read_no_key)
    assert [(one.name, one.state) for one in found] == [("sign-in", "wrong")]
