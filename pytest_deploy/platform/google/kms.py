"""The log's key in Cloud KMS: Ed25519 (`EC_SIGN_ED25519`), one version named in full; the private key never leaves the service.

Both ways are checked as Google asks (cloud.google.com/kms/docs/data-integrity-guidelines): CRC32C of what is sent and of
what comes back, and the name of the version that answered. And a signature that does not verify is never handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, TypeVar

import google_crc32c
import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_exception_type
from google.auth import exceptions as sign_in_errors
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import RecordError, StoreUnavailable
from pytest_deploy.platform.google.channels import loopback_channel
from pytest_deploy.record import iam
from pytest_deploy.record.key import LogKey

CALL_S: Final = 5.0
"""Timeout of one call."""
PATIENCE_S: Final = 20.0
"""How long a call is repeated while the service is not there: less than the life of a lease."""
_TRIES: Final = 3
"""Of a call whose bytes were changed on the way."""
_ED25519: Final = kms_v1.CryptoKeyVersion.CryptoKeyVersionAlgorithm.EC_SIGN_ED25519

_PASSING: Final = (
    google_errors.ServiceUnavailable,
    google_errors.DeadlineExceeded,
    google_errors.InternalServerError,
    google_errors.TooManyRequests,
)
"""What may be gone at the next try; signing again is no change."""

_SIGN_IN: Final = "sign in: workload identity in CI, `gcloud auth application-default login` at a desk"
_REMEDIES: Final[Mapping[type[Exception], str]] = {
    google_errors.NotFound: "record.key of deploy.yaml must name an existing key version in full",
    google_errors.PermissionDenied: "the identity of this run needs roles/cloudkms.signerVerifier on the key",
    google_errors.Unauthenticated: _SIGN_IN,
    sign_in_errors.GoogleAuthError: _SIGN_IN,
    google_errors.FailedPrecondition: (
        "the key version is disabled, destroyed or not made yet: enable it, or rotate to another with "
        "`keys rotate` and its --to while it still signs"
    ),
    google_errors.InvalidArgument: "the key version must have purpose ASYMMETRIC_SIGN and algorithm EC_SIGN_ED25519",
}
_Reply = TypeVar("_Reply")


class KmsSigner:
    """One version of a key in Cloud KMS; implements record.key.Signer.

    `version` is its full name, `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`. Raises RecordError
    with what to do; StoreUnavailable where the service did not answer within `patience_s` seconds.
    """

    def __init__(
        self, version: str, client: kms_v1.KeyManagementServiceClient, *, patience_s: float = PATIENCE_S
    ) -> None:
        self.version = version
        self._client = client
        self._again = Retry(
            predicate=if_exception_type(*_PASSING), initial=0.1, maximum=2.0, multiplier=2.0, timeout=patience_s
        )

    @classmethod
    def by_default_credentials(cls, version: str) -> KmsSigner:
        """The real service, as whoever this process is signed in as (Application Default Credentials)."""
        with _answered("signing in to Google Cloud"):
            return cls(version, kms_v1.KeyManagementServiceClient())

    @classmethod
    def at_loopback(cls, version: str, address: str) -> KmsSigner:
        """A stand-in at a loopback address, asked without encryption and a sign-in."""
        channel = loopback_channel(address)
        return cls(
            version, kms_v1.KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))
        )

    @cached_property
    def public(self) -> bytes:
        """The Ed25519 public key, 32 bytes, read from the service once."""
        doing = f"reading the public key of {self.version}"

        def is_whole(reply: kms_v1.PublicKey) -> bool:
            return "pem_crc32c" in reply and bool(reply.pem_crc32c == google_crc32c.value(reply.pem.encode()))

        reply = self._checked_reply(doing, self._client.get_public_key, {"name": self.version}, is_whole)
        if reply.algorithm != _ED25519:
            raise RecordError(
                f"{doing}: its algorithm is {reply.algorithm.name}; the log is signed with EC_SIGN_ED25519: "
                "make a key version of that algorithm and name it under record.key"
            )
        try:
            key = load_pem_public_key(reply.pem.encode())
        except ValueError as error:
            raise RecordError(f"{doing}: the service's PEM cannot be read: {error}; report it to Google") from error
        if not isinstance(key, Ed25519PublicKey):
            raise RecordError(f"{doing}: the service gave another kind of key than it names; report it to Google")
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature over `message`, 64 bytes."""
        doing = f"signing with {self.version}"
        request = {"name": self.version, "data": message, "data_crc32c": google_crc32c.value(message)}

        def is_whole(reply: kms_v1.AsymmetricSignResponse) -> bool:
            sound = "signature_crc32c" in reply and reply.signature_crc32c == google_crc32c.value(reply.signature)
            return bool(reply.verified_data_crc32c and sound)

        signature: bytes = self._checked_reply(doing, self._client.asymmetric_sign, request, is_whole).signature
        if not LogKey("", self.public).verifies(signature, message):
            raise RecordError(
                f"{doing}: the signature does not verify under the version's public key; nothing was written: "
                "find out who answers for cloudkms.googleapis.com on this machine"
            )
        return signature

    def administrators(self) -> dict[str, tuple[str, ...]]:
        """Who may change who uses the key, or end it, by the IAM policies on the key and on its ring, each with their roles."""
        key = self.version.partition("/cryptoKeyVersions/")[0]
        return iam.together(*(self._administrators(one) for one in (key, key.partition("/cryptoKeys/")[0])))

    def _administrators(self, resource: str) -> dict[str, tuple[str, ...]]:
        asked = {"resource": resource, "options": {"requested_policy_version": iam.VERSION}}
        denied = "the identity of this run needs a role with cloudkms.cryptoKeys.getIamPolicy and cloudkms.keyRings.getIamPolicy"
        with _answered(f"reading who administers {resource}", denied=denied):
            policy = self._client.get_iam_policy(request=asked, retry=self._again, timeout=CALL_S)
        return iam.administrators(iam.Binding(binding.role, binding.members) for binding in policy.bindings)

    def _checked_reply(
        self,
        doing: str,
        call: Callable[..., _Reply],
        request: Mapping[str, object],
        is_whole: Callable[[_Reply], bool],
    ) -> _Reply:
        """The reply, asked again where its bytes or the request's were changed on the way; it must be of this version."""
        for _ in range(_TRIES):
            with _answered(doing):
                reply: Any = call(request=request, retry=self._again, timeout=CALL_S)
            if reply.name != self.version:
                raise RecordError(
                    f"{doing}: {reply.name or 'nobody named'} answered; name the version under record.key"
                )
            if is_whole(reply):
                answer: _Reply = reply
                return answer
        raise StoreUnavailable(
            f"{doing}: {_TRIES} times the bytes that arrived were not those that were sent (CRC32C); "
            "look at the network between here and cloudkms.googleapis.com, then run again"
        )


@contextmanager
def _answered(doing: str, *, denied: str = "") -> Iterator[None]:
    """Every way in which Google's client says that a call failed becomes an error of ours; `denied` is what it takes."""
    try:
        yield
    except (google_errors.GoogleAPIError, sign_in_errors.GoogleAuthError, grpc.RpcError) as error:
        cause = error.cause if isinstance(error, google_errors.RetryError) and error.cause is not None else error
        said = kept_text(str(cause), WORDS_BYTES)
        if isinstance(cause, _PASSING):
            raise StoreUnavailable(
                f"{doing}: {said}; nothing was written: run again when Cloud KMS answers (status.cloud.google.com)"
            ) from error
        remedies: dict[type[Exception], str] = {**_REMEDIES}
        if denied:
            remedies[google_errors.PermissionDenied] = denied
        remedy = next(
            (text for kind, text in remedies.items() if isinstance(cause, kind)),
            "look at the key's audit log",
        )
        raise RecordError(f"{doing}: {said}; {remedy}") from error
