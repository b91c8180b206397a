"""The log's key in Cloud KMS, through Google's own client, against a stand-in that speaks its published messages."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.iam.v1 import policy_pb2
from google.type import expr_pb2

from pytest_deploy.errors import RecordError, Refused, StoreUnavailable
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.platform.google.kms import KmsSigner
from pytest_deploy.record.key import LogKey
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import open_record, rotate
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.kms_stand_in import RING, Algorithm, KmsStandIn, Version, running, signer_over
from tests.unit.record.sample_record import ACTOR, ORIGIN, HandClock, deployed
from tests.unit.verify.second_verifier import second_opinion

ONE, TWO = f"{RING}/1", f"{RING}/2"
BUSY = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def served() -> Iterator[tuple[KmsStandIn, grpc.Channel]]:
    """A folder with a short name: a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="kms-") as folder, running(Path(folder)) as both:
        yield both


@pytest.fixture
def kms(served: tuple[KmsStandIn, grpc.Channel]) -> KmsStandIn:
    return served[0]


@pytest.fixture
def signer(served: tuple[KmsStandIn, grpc.Channel]) -> KmsSigner:
    return signer_over(served[1], ONE)


def test_it_signs_as_the_version_that_is_named(signer: KmsSigner, kms: KmsStandIn) -> None:
    signature = signer.sign(b"three lines\n")

    assert LogKey(ORIGIN, signer.public).verifies(signature, b"three lines\n")
    key = kms.versions[ONE].key
    assert isinstance(key, Ed25519PrivateKey)
    assert key.public_key().public_bytes_raw() == signer.public
    assert sorted(kms.calls, reverse=True) == ["GetPublicKey", "AsymmetricSign"]


def test_a_record_it_signs_verifies_with_stock_tools(signer: KmsSigner, tmp_path: Path) -> None:
    deployed(born(tmp_path, signer))

    assert verify(tmp_path / "reports").ok
    assert second_opinion(tmp_path / "reports").ok
    assert not (tmp_path / "no.pem").exists(), "no key of the log lies on this machine"


def born(home: Path, signer: KmsSigner) -> Log:
    return open_record(
        FolderStore(home / "reports"), origin=ORIGIN, key_file=home / "no.pem", clock=HandClock(), actor=ACTOR, signer=signer
    )  # fmt: skip


def test_it_rotates_to_another_version_and_the_first_signs_no_more(
    served: tuple[KmsStandIn, grpc.Channel], signer: KmsSigner, tmp_path: Path
) -> None:
    log, new = born(tmp_path, signer), signer_over(served[1], TWO)
    other = born(tmp_path, signer)

    rotate(log, tmp_path / "reports", new, signer=TWO, reason="yearly", actor=ACTOR)

    assert (new.public, True) == (log.key.public, verify(tmp_path / "reports").ok)
    deployed(born(tmp_path, new))
    assert second_opinion(tmp_path / "reports").ok
    with pytest.raises(RecordError, match="event 1 rotated the log's key"):
        deployed(other)
    with pytest.raises(RecordError, match=r"record\.key of deploy\.yaml"):
        born(tmp_path, signer)


def test_a_rotation_that_was_cut_short_is_finished_by_the_same_command(
    served: tuple[KmsStandIn, grpc.Channel], signer: KmsSigner, kms: KmsStandIn, tmp_path: Path
) -> None:
    log, new = born(tmp_path, signer), signer_over(served[1], TWO)
    assert new.public
    kms.versions[TWO].enabled = False
    with pytest.raises(RecordError, match="not enabled"):
        rotate(log, tmp_path / "reports", new, signer=TWO, reason="yearly", actor=ACTOR)
    kms.versions[TWO].enabled = True
    assert verify(tmp_path / "reports").ok
    with pytest.raises(RecordError, match="finish the rotation first"):
        deployed(born(tmp_path, signer))

    rotate(born(tmp_path, signer), tmp_path / "reports", new, signer=TWO, reason="yearly", actor=ACTOR)

    deployed(born(tmp_path, new))
    assert verify(tmp_path / "reports").ok
    assert second_opinion(tmp_path / "reports").ok


def test_a_key_does_not_rotate_to_itself(signer: KmsSigner, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="signs the log already"):
        rotate(born(tmp_path, signer), tmp_path / "reports", signer, signer=ONE, reason="yearly", actor=ACTOR)


# --- what comes back is checked


def test_what_was_changed_on_the_way_there_is_sent_again(signer: KmsSigner, kms: KmsStandIn) -> None:
    altered = iter([b"other"])
    kms.alter_request = lambda data: next(altered, data)

    assert LogKey(ORIGIN, signer.public).verifies(signer.sign(b"text"), b"text")
    assert kms.calls.count("AsymmetricSign") == 2


def test_what_is_changed_on_the_way_every_time_is_given_up(signer: KmsSigner, kms: KmsStandIn) -> None:
    kms.alter_request = lambda data: data + b"?"

    with pytest.raises(StoreUnavailable, match="3 times the bytes that arrived were not those that were sent"):
        signer.sign(b"text")


@pytest.mark.parametrize("change", ["signature", "crc", "no crc", "not checked"])
def test_a_signature_changed_on_the_way_back_is_not_taken(signer: KmsSigner, kms: KmsStandIn, change: str) -> None:
    def alter(reply: Any) -> None:
        if change == "signature":
            reply.signature = bytes(64)
        elif change == "crc":
            reply.signature_crc32c = 1
        elif change == "no crc":
            reply.signature_crc32c = None
        else:
            reply.verified_data_crc32c = False

    kms.alter_sign = alter

    with pytest.raises(StoreUnavailable, match="CRC32C"):
        signer.sign(b"text")


def test_a_signature_of_another_key_is_never_handed_on(signer: KmsSigner, kms: KmsStandIn) -> None:
    assert signer.public
    kms.versions[ONE] = Version()

    with pytest.raises(RecordError, match="does not verify under the version's public key; nothing was written"):
        signer.sign(b"text")


def test_an_answer_of_another_version_is_refused(signer: KmsSigner, kms: KmsStandIn) -> None:
    def elsewhere(reply: Any) -> None:
        reply.name = TWO

    kms.alter_sign = elsewhere
    with pytest.raises(RecordError, match="cryptoKeyVersions/2 answered"):
        signer.sign(b"text")

    kms.alter_public = elsewhere
    with pytest.raises(RecordError, match="cryptoKeyVersions/2 answered"):
        _ = KmsSigner(ONE, signer._client).public


def test_a_public_key_changed_on_the_way_is_not_taken(signer: KmsSigner, kms: KmsStandIn) -> None:
    def alter(reply: Any) -> None:
        reply.pem = reply.pem.replace("A", "B", 1)

    kms.alter_public = alter

    with pytest.raises(StoreUnavailable, match="reading the public key"):
        _ = signer.public


# --- what goes wrong is said with what to do


@pytest.mark.parametrize(
    "code, remedy",
    [
        (grpc.StatusCode.PERMISSION_DENIED, "needs roles/cloudkms.signerVerifier on the key"),
        (grpc.StatusCode.UNAUTHENTICATED, "gcloud auth application-default login"),
        (grpc.StatusCode.INVALID_ARGUMENT, "purpose ASYMMETRIC_SIGN and algorithm EC_SIGN_ED25519"),
        (grpc.StatusCode.DATA_LOSS, "look at the key's audit log"),
    ],
)
def test_a_refusal_is_not_asked_again(signer: KmsSigner, kms: KmsStandIn, code: grpc.StatusCode, remedy: str) -> None:
    kms.refuse = [code]

    with pytest.raises(RecordError, match=remedy) as refused:
        signer.sign(b"text")

    assert not isinstance(refused.value, StoreUnavailable)
    assert kms.calls.count("AsymmetricSign") == 1


def test_a_version_that_is_disabled_or_missing_says_so(
    served: tuple[KmsStandIn, grpc.Channel], signer: KmsSigner, kms: KmsStandIn
) -> None:
    kms.versions[ONE].enabled = False
    with pytest.raises(RecordError, match=r"state is: DISABLED.*; the key version is disabled.*keys rotate"):
        signer.sign(b"text")
    with pytest.raises(RecordError, match=r"must name an existing key version in full"):
        signer_over(served[1], f"{RING}/9").sign(b"text")


@pytest.mark.parametrize("busy", [BUSY, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_service_that_is_busy_is_asked_again(signer: KmsSigner, kms: KmsStandIn, busy: grpc.StatusCode) -> None:
    kms.refuse = [busy, busy]

    assert len(signer.sign(b"text")) == 64
    assert kms.calls.count("AsymmetricSign") == 3


def test_a_service_that_stays_away_is_given_up_as_a_store_that_is_down(
    served: tuple[KmsStandIn, grpc.Channel], kms: KmsStandIn
) -> None:
    kms.refuse = [BUSY] * 99

    with pytest.raises(StoreUnavailable, match="run again when Cloud KMS answers"):
        signer_over(served[1], ONE, patience_s=0.3).sign(b"text")

    assert 1 < kms.calls.count("AsymmetricSign") < 10


def test_a_key_of_another_algorithm_is_refused_before_anything_is_signed(signer: KmsSigner, kms: KmsStandIn) -> None:
    kms.versions[ONE] = Version(ec.generate_private_key(ec.SECP256R1()), Algorithm.EC_SIGN_P256_SHA256)
    with pytest.raises(
        RecordError, match="its algorithm is EC_SIGN_P256_SHA256; the log is signed with EC_SIGN_ED25519"
    ):
        _ = signer.public

    kms.versions[ONE].algorithm = Algorithm.EC_SIGN_ED25519
    with pytest.raises(RecordError, match="another kind of key than it names"):
        _ = signer.public


def test_where_the_client_is_not_installed_it_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    monkeypatch.delitem(sys.modules, "pytest_deploy.platform.google.kms")

    with pytest.raises(RecordError, match=r"pip install 'pytest-deploy\[google\]'"):
        in_kms(ONE)


def test_without_credentials_it_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("HOME", str(tmp_path)), ("CLOUDSDK_CONFIG", str(tmp_path)), ("NO_GCE_CHECK", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    with pytest.raises(RecordError, match="gcloud auth application-default login"):
        in_kms(ONE)


# --- who administers it

KEY = ONE.partition("/cryptoKeyVersions/")[0]


def policy(*bindings: policy_pb2.Binding) -> policy_pb2.Policy:
    return policy_pb2.Policy(bindings=bindings)


def test_who_administers_the_key_or_its_ring_is_told_and_who_signs_with_it_is_not(
    signer: KmsSigner, kms: KmsStandIn
) -> None:
    assert signer.administrators() == {}

    dana, ops, ci = (
        "user:dana@example.org",
        "group:ops@example.org",
        "serviceAccount:ci@example.iam.gserviceaccount.com",
    )
    weekend = expr_pb2.Expr(expression="request.time.getDayOfWeek() == 6")
    kms.policies[KEY] = policy(
        policy_pb2.Binding(role="roles/cloudkms.admin", members=[dana]),
        policy_pb2.Binding(role="roles/cloudkms.signerVerifier", members=[ci]),
        policy_pb2.Binding(role="projects/example/roles/keeper", members=[ops], condition=weekend),
    )
    kms.policies[KEY.partition("/cryptoKeys/")[0]] = policy(policy_pb2.Binding(role="roles/owner", members=[dana]))

    assert signer.administrators() == {
        ops: ("projects/example/roles/keeper",),
        dana: ("roles/cloudkms.admin", "roles/owner"),
    }


def test_who_may_not_see_who_administers_it_is_told_what_it_takes(signer: KmsSigner, kms: KmsStandIn) -> None:
    kms.refuse = [grpc.StatusCode.PERMISSION_DENIED]

    with pytest.raises(RecordError, match=r"needs a role with cloudkms\.cryptoKeys\.getIamPolicy"):
        signer.administrators()
