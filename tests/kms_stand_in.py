"""A stand-in for Cloud KMS on this machine: Google's own messages over gRPC, a real Ed25519 key behind them.

It keeps the service's published rules where a signer leans on them: an asymmetric version signs `data`, and says that it
got what was sent only if `data_crc32c` is that of what arrived; a version that is not enabled is FAILED_PRECONDITION, one
that is not there NOT_FOUND, a caller without the right PERMISSION_DENIED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport
from google.iam.v1 import iam_policy_pb2, policy_pb2

from pytest_deploy.platform.google.kms import KmsSigner

RING = "projects/example/locations/us-east4/keyRings/deploy-record/cryptoKeys/log/cryptoKeyVersions"
Algorithm = kms_v1.CryptoKeyVersion.CryptoKeyVersionAlgorithm


@dataclass
class Version:
    """One key version."""

    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    algorithm: int = Algorithm.EC_SIGN_ED25519
    enabled: bool = True

    @property
    def pem(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class KmsStandIn:
    """The two calls of KeyManagementService that a signer makes, and IAM's that tells who administers a key or its ring."""

    def __init__(self) -> None:
        self.versions = {f"{RING}/{number}": Version() for number in (1, 2)}
        self.policies: dict[str, policy_pb2.Policy] = {}
        """By key and key ring; others have an empty one."""
        self.calls: list[str] = []
        self.refuse: list[grpc.StatusCode] = []
        """What the next calls are answered with, instead of an answer."""
        self.alter_request: Callable[[bytes], bytes] = lambda data: data
        """What the network makes of the bytes to be signed."""
        self.alter_sign: Callable[[kms_v1.AsymmetricSignResponse], None] = lambda _: None
        self.alter_public: Callable[[kms_v1.PublicKey], None] = lambda _: None

    def add_to(self, server: grpc.Server) -> None:
        calls: dict[str, tuple[Any, Any, Any]] = {
            "GetPublicKey": (self.public_key, kms_v1.GetPublicKeyRequest, kms_v1.PublicKey),
            "AsymmetricSign": (self.sign, kms_v1.AsymmetricSignRequest, kms_v1.AsymmetricSignResponse),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call, request_deserializer=asked.deserialize, response_serializer=answer.serialize
            )
            for name, (call, asked, answer) in calls.items()
        }
        service = grpc.method_handlers_generic_handler("google.cloud.kms.v1.KeyManagementService", handlers)
        told = grpc.unary_unary_rpc_method_handler(
            self.iam_policy,
            request_deserializer=iam_policy_pb2.GetIamPolicyRequest.FromString,
            response_serializer=policy_pb2.Policy.SerializeToString,
        )
        iam = grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", {"GetIamPolicy": told})
        server.add_generic_rpc_handlers((service, iam))

    def public_key(self, asked: kms_v1.GetPublicKeyRequest, context: grpc.ServicerContext) -> kms_v1.PublicKey:
        version = self._version("GetPublicKey", asked.name, context)
        reply = kms_v1.PublicKey(
            name=asked.name,
            pem=version.pem,
            pem_crc32c=google_crc32c.value(version.pem.encode()),
            algorithm=version.algorithm,
        )
        self.alter_public(reply)
        return reply

    def sign(self, asked: kms_v1.AsymmetricSignRequest, context: grpc.ServicerContext) -> kms_v1.AsymmetricSignResponse:
        version = self._version("AsymmetricSign", asked.name, context)
        if not isinstance(version.key, Ed25519PrivateKey) or not asked.data:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this version signs a digest")
        data = self.alter_request(asked.data)
        signature = version.key.sign(data)
        reply = kms_v1.AsymmetricSignResponse(
            name=asked.name,
            signature=signature,
            signature_crc32c=google_crc32c.value(signature),
            verified_data_crc32c=asked.data_crc32c == google_crc32c.value(data),
        )
        self.alter_sign(reply)
        return reply

    def iam_policy(self, asked: iam_policy_pb2.GetIamPolicyRequest, context: grpc.ServicerContext) -> policy_pb2.Policy:
        self.calls.append("GetIamPolicy")
        if self.refuse:
            context.abort(self.refuse.pop(0), "as the test says")
        policy = self.policies.get(asked.resource, policy_pb2.Policy())
        if (
            any(binding.condition.expression for binding in policy.bindings)
            and asked.options.requested_policy_version < 3
        ):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "requested_policy_version must be 3")
        return policy

    def _version(self, call: str, name: str, context: grpc.ServicerContext) -> Version:
        self.calls.append(call)
        if self.refuse:
            context.abort(self.refuse.pop(0), "as the test says")
        if name not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {name} not found.")
        version = self.versions[name]
        if not version.enabled:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name} is not enabled, current state is: DISABLED.")
        return version


@contextmanager
def running(folder: Path) -> Iterator[tuple[KmsStandIn, grpc.Channel]]:
    """The stand-in on a socket in `folder`, and a channel to it."""
    kms = KmsStandIn()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    kms.add_to(server)
    address = f"unix:{folder}/kms"
    server.add_insecure_port(address)
    server.start()
    with grpc.insecure_channel(address) as channel:
        yield kms, channel
    server.stop(0).wait()


@contextmanager
def answering(kms: KmsStandIn) -> Iterator[str]:
    """The stand-in at a loopback address, `127.0.0.1:PORT`."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    kms.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def client_over(channel: grpc.Channel) -> kms_v1.KeyManagementServiceClient:
    """Google's own client, which asks over this channel."""
    return kms_v1.KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))


def signer_over(channel: grpc.Channel, version: str, *, patience_s: float = 1.0) -> KmsSigner:
    """A signer that asks over this channel."""
    return KmsSigner(version, client_over(channel), patience_s=patience_s)
