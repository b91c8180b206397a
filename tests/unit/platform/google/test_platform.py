"""An environment at Google: each call goes where policy says, to Google or to the stand-in that is named for it, and nowhere else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError, UsageError
from pytest_deploy.platform.environment import Environment, in_kms
from pytest_deploy.platform.google.platform import GooglePlatform, image_repository, service_name
from pytest_deploy.policy.load import load
from pytest_deploy.record.bucket import EMULATOR, MirroredStore
from pytest_deploy.record.open_record import record_store
from pytest_deploy.workspace import Workspace
from tests.google_cloud_run import SERVICE, CloudRunApi
from tests.google_front_end import HEADER, IamCredentials, claims
from tests.unit.platform.google.sample_google import at_google

NOBODY = "127.0.0.1:1"
KEY = "projects/example/locations/us-east4/keyRings/r/cryptoKeys/log/cryptoKeyVersions/1"


def test_an_environment_at_google_is_driven_through_googles_own_clients(tmp_path: Path) -> None:
    api, iam = CloudRunApi.serving(), IamCredentials()
    with api.answering() as run, iam.answering() as credentials:
        policy = at_google(tmp_path, run=run, iam_credentials=credentials)
        environment = Environment(Workspace(tmp_path, "production"), policy)
        with closing(environment):
            runtime = environment.platform.runtime
            before = runtime.state().sole_revision()
            made = runtime.create(
                image=f"parcels@sha256:{'1' * 64}", env={}, tag="candidate", annotations={}, deadline_s=5
            )
            runtime.move({made.name: 100}, tags={}, deadline_s=5)
            serves = runtime.state()

    assert before == "parcels-00001-abc"
    assert serves.sole_revision() == made.name
    assert [share.tag for share in serves.shares] == [""], "nothing is left of the candidate's tag"
    assert api.service.name == service_name(policy) == SERVICE


def test_a_call_of_a_tag_carries_a_token_for_the_service_itself(tmp_path: Path) -> None:
    """And every token is a secret from then on."""
    iam = IamCredentials()
    heard: list[str] = []
    with CloudRunApi.serving().answering() as run, iam.answering() as credentials:
        policy = at_google(tmp_path, run=run, iam_credentials=credentials)
        with closing(GooglePlatform(policy, address=None, learn=heard.append)) as platform:
            token = platform.admission.headers()[HEADER].removeprefix("Bearer ")

    assert claims(token)["aud"] == "https://parcels-x.run.app"
    assert claims(token)["email"] == "stand-in@example.iam.gserviceaccount.com"
    assert heard == [token]


def test_its_images_lie_in_the_registry_of_its_project(tmp_path: Path) -> None:
    assert image_repository(at_google(tmp_path)) == "us-east4-docker.pkg.dev/example/parcels/parcels"
    beside = at_google(tmp_path, run=NOBODY, registry="127.0.0.1:5000")
    assert image_repository(beside) == "127.0.0.1:5000/example/parcels/parcels"
    with pytest.raises(UsageError, match="names no address for registry"):
        image_repository(at_google(tmp_path, run=NOBODY))


@pytest.mark.parametrize(
    "address", ["10.0.0.1:80", "example.org:443", "127.0.0.1", "https://127.0.0.1:80", "0.0.0.0:80"]
)
def test_a_stand_in_elsewhere_than_on_this_machine_is_refused(tmp_path: Path, address: str) -> None:
    at_google(tmp_path, run="127.0.0.1:80")

    with pytest.raises(ConfigurationError, match=r"platform\.google\.loopback\.run"):
        at_google(tmp_path, run=address)


def test_stand_ins_are_told_in_the_record_and_count_as_nothing_of_google(tmp_path: Path) -> None:
    policy = at_google(tmp_path, run=NOBODY, storage=NOBODY)
    environment = Environment(Workspace(tmp_path, "production"), policy)

    assert set(environment.substituted) == {"platform.google.loopback", "record.bucket"}
    assert environment.substituted["platform.google.loopback"]["used"] == f"run at {NOBODY}, storage at {NOBODY}"
    assert not policy.platform.at_google
    assert policy.replaced("record")
    real = at_google(tmp_path)
    assert real.platform.at_google
    assert not real.substituted


def test_a_record_beside_stand_ins_goes_to_the_one_that_is_named_and_never_to_google(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(EMULATOR, raising=False)
    workspace = Workspace(tmp_path, "production")

    store = record_store(workspace, at_google(tmp_path, run=NOBODY, storage=NOBODY))
    assert isinstance(store, MirroredStore)
    assert str(store.bucket._bucket.client._connection.API_BASE_URL) == f"http://{NOBODY}"

    with pytest.raises(UsageError, match="names no address for storage: nothing is sent to Google beside stand-ins"):
        record_store(workspace, at_google(tmp_path, run=NOBODY))


def test_a_key_beside_stand_ins_is_asked_at_the_one_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no address for kms"):
        in_kms(KEY, at_google(tmp_path, run=NOBODY).platform.google)

    signer = in_kms(KEY, at_google(tmp_path, run=NOBODY, kms=NOBODY).platform.google)
    assert signer.version == KEY


def test_tokens_beside_stand_ins_are_minted_by_the_one_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no address for iam_credentials"):
        GooglePlatform(at_google(tmp_path, run=NOBODY), address=None)


def test_a_rehearsal_stays_on_the_embedded_platform(tmp_path: Path) -> None:
    at_google(tmp_path, run=NOBODY)

    rehearsed = load(tmp_path / "deploy.yaml", "production", rehearsal=True)

    assert rehearsed.platform.kind == "embedded"
    assert rehearsed.platform.google is None


def test_a_policy_without_what_is_new_keeps_its_digest(tmp_path: Path) -> None:
    """An environment's approved policy is the same after an update of this package."""
    text = at_google(tmp_path).canonical()

    assert b'"google":{"project":"example","region":"us-east4"}' in text
    assert b'"loopback":{' in at_google(tmp_path, run=NOBODY).canonical()
