"""The stand-in for Google's plug-in of Pulumi, `pulumi-resource-gcp`: Pulumi's resource-provider protocol, before a loopback API.

The engine starts it as it starts the real one. It runs in the environment of the Pulumi program, not in that of the tests,
and so it imports nothing of this project. What it is not: the real plug-in's defaults, its diffs of nested values, its retries
and Google's own semantics of a PATCH (docs/decisions/0083).
Source: pulumi/proto/provider.proto, and Pulumi's implementers' guide for providers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, Final
from urllib.parse import quote

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

ADDRESS: Final = "PULUMI_GCP_STAND_IN"
"""Variable with the loopback API's address."""
VERSION: Final = "10.2.0"
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that is not known before it is made (pulumi.runtime.rpc)."""
_SECRET: Final = "4dabf18193072939515e22adb298388d"  # the mark of a special value, as Pulumi's protocol has it
_TRIES: Final = 3

IDS: Final[Mapping[str, str]] = {
    "gcp:cloudrunv2/service:Service": "projects/{project}/locations/{location}/services/{name}",
    "gcp:sql/databaseInstance:DatabaseInstance": "{name}",
    "gcp:sql/database:Database": "projects/{project}/instances/{instance}/databases/{name}",
    "gcp:sql/user:User": "{name}//{instance}",
    "gcp:artifactregistry/repository:Repository": "projects/{project}/locations/{location}/repositories/{repositoryId}",
    "gcp:storage/bucket:Bucket": "{name}",
    "gcp:kms/keyRing:KeyRing": "projects/{project}/locations/{location}/keyRings/{name}",
    "gcp:kms/cryptoKey:CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "gcp:serviceaccount/account:Account": "projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com",
}
"""By type. What is not here has an id that the server gives; members of IAM policies are named by all they say."""
_MEMBERS: Final[Mapping[str, str]] = {
    "gcp:projects/iAMMember:IAMMember": "{project}",
    "gcp:serviceaccount/iAMMember:IAMMember": "{serviceAccountId}",
    "gcp:storage/bucketIAMMember:BucketIAMMember": "b/{bucket}",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": "{cryptoKeyId}",
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": "projects/{project}/locations/{location}/repositories/{repository}",
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": "projects/{project}/locations/{location}/services/{name}",
}
"""What the members of an IAM policy are members at; their ids go on with role, member and the condition's title."""
_IMPORTED: Final[Mapping[str, Callable[[str], str]]] = {
    "gcp:sql/databaseInstance:DatabaseInstance": lambda id_: id_.rpartition("/")[2],
    "gcp:storage/bucket:Bucket": lambda id_: id_.rpartition("/")[2],
    "gcp:sql/user:User": lambda id_: "//".join(reversed(id_.split("/")[1:])),
    **dict.fromkeys(_MEMBERS, lambda id_: id_.replace(" ", "/")),
}
"""What becomes of the ids that people import by, where they differ from those that are kept."""
_IMMUTABLE: Final = frozenset(
    {
        "name",
        "location",
        "region",
        "project",
        "keyRing",
        "repositoryId",
        "accountId",
        "instance",
        "purpose",
        "member",
        "role",
    }
)
"""A change of one of these makes the resource anew."""


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Google's plug-in, as far as the engine can see."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.project = ""
        self.cancelled = False

    # --- meeting the engine

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=False, accept_resources=False, accept_outputs=False
        )

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old, new = _plain(request.old_inputs), _plain(request.news)
        moved = old.get("project") != new.get("project") and "project" in old
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if moved else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=["project"] if moved else [],
        )

    def Configure(self, request: Any, context: Any) -> Any:
        self.project = _plain(request.args).get("project", "")
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled = True
        return empty_pb2.Empty()

    # --- resources

    def Check(self, request: Any, context: Any) -> Any:
        inputs, kind = _plain(request.news), _kind(request.urn)
        known, required = _arguments(kind)
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"{kind} has no argument {name}")
            for name in sorted(inputs.keys() - known)
        ]
        failures += [
            provider_pb2.CheckFailure(property=name, reason=f"{kind} needs {name}")
            for name in sorted(required - inputs.keys())
        ]
        if "deletionProtection" in known:
            inputs.setdefault("deletionProtection", True)
        if "forceDestroy" in known:
            inputs.setdefault("forceDestroy", False)
        return provider_pb2.CheckResponse(inputs=_struct(inputs), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = _plain(request.old_inputs), _plain(request.news)
        ignored = set(request.ignoreChanges)
        changed = {
            path: kind for path, kind in _differences(old, new) if path.split(".")[0].split("[")[0] not in ignored
        }
        replaces = sorted({top for path in changed if (top := path.split(".")[0].split("[")[0]) in _IMMUTABLE})
        detailed = {}
        for path, kind in changed.items():
            name = f"{kind}_REPLACE" if path.split(".")[0].split("[")[0] in _IMMUTABLE else kind
            detailed[path] = provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in changed}),
            replaces=replaces,
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaces),
        )

    def Create(self, request: Any, context: Any) -> Any:
        inputs, kind = _plain(request.properties), _kind(request.urn)
        if request.preview:
            return provider_pb2.CreateResponse(
                properties=_struct({**inputs, **dict.fromkeys(_computed(kind, "", inputs), UNKNOWN)})
            )
        id_ = self._id(kind, inputs)
        status, found = self._call("POST", kind, id_, {"inputs": inputs, "computed": _computed(kind, id_, inputs)})
        if status != 200:
            _fail(context, status, kind, id_, found)
        return provider_pb2.CreateResponse(id=id_, properties=_struct({**found["inputs"], **found["computed"]}))

    def Update(self, request: Any, context: Any) -> Any:
        inputs, kind = _plain(request.news), _kind(request.urn)
        if request.preview:
            computed = {name: value for name, value in _plain(request.olds).items() if name not in inputs}
            return provider_pb2.UpdateResponse(
                properties=_struct({**computed, **inputs, "etag": UNKNOWN, "generation": UNKNOWN})
            )
        status, found = self._call("PATCH", kind, request.id, {"inputs": inputs})
        if status != 200:
            _fail(context, status, kind, request.id, found)
        return provider_pb2.UpdateResponse(properties=_struct({**found["inputs"], **found["computed"]}))

    def Read(self, request: Any, context: Any) -> Any:
        kind, id_ = _kind(request.urn), request.id
        status, found = self._call("GET", kind, id_)
        if status == 404 and kind in _IMPORTED:
            id_ = _IMPORTED[kind](id_)
            status, found = self._call("GET", kind, id_)
        if status == 404:
            return provider_pb2.ReadResponse(id="")
        if status != 200:
            _fail(context, status, kind, id_, found)
        return provider_pb2.ReadResponse(
            id=id_,
            inputs=_struct(found["inputs"]),
            properties=_struct({**found["inputs"], **found["computed"]}),
        )

    def Delete(self, request: Any, context: Any) -> Any:
        kind = _kind(request.urn)
        if _plain(request.properties).get("deletionProtection"):
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"cannot destroy {request.id} without setting deletionProtection=false",
            )
        status, found = self._call("DELETE", kind, request.id)
        if status not in {200, 404}:
            _fail(context, status, kind, request.id, found)
        return empty_pb2.Empty()

    def _id(self, kind: str, inputs: Mapping[str, Any]) -> str:
        values = {"project": self.project, **{name: value for name, value in inputs.items() if isinstance(value, str)}}
        if kind in IDS:
            return IDS[kind].format(**values)
        if kind in _MEMBERS:
            title = (inputs.get("condition") or {}).get("title", "")
            return "/".join(
                part for part in (_MEMBERS[kind].format(**values), inputs["role"], inputs["member"], title) if part
            )
        folder = kind.rpartition(":")[2][0].lower() + kind.rpartition(":")[2][1:]
        return f"projects/{values['project']}/{folder}s/{time.time_ns()}"

    def _call(self, method: str, kind: str, id_: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        address = f"{self.api}/{quote(kind, safe='')}/{quote(id_, safe='')}"
        data = None if body is None else json.dumps(body).encode()
        for left in reversed(range(_TRIES)):
            try:
                with urllib.request.urlopen(urllib.request.Request(address, data, method=method), timeout=90) as reply:
                    return reply.status, json.loads(reply.read())
            except urllib.error.HTTPError as error:
                told = json.loads(error.read())
                if error.code != 503 or not left or self.cancelled:
                    return error.code, told
            time.sleep(0.2)
        raise AssertionError


def _fail(context: Any, status: int, kind: str, id_: str, told: Any) -> None:
    codes = {
        403: grpc.StatusCode.PERMISSION_DENIED,
        404: grpc.StatusCode.NOT_FOUND,
        409: grpc.StatusCode.ALREADY_EXISTS,
    }
    message = f"googleapi: Error {status}: {told['error']['message']} ({kind} {id_})"
    context.abort(codes.get(status, grpc.StatusCode.UNKNOWN), message)


def _kind(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _arguments(kind: str) -> tuple[set[str], set[str]]:
    """The names that pulumi_gcp's own class of arguments knows, as they travel, and those it cannot be made without."""
    from pulumi import _types

    _, path, name = kind.split(":")
    module = importlib.import_module("pulumi_gcp." + ".".join(map(_snake, path.split("/"))))
    arguments = getattr(module, f"{name}Args")
    wire = _types.input_type_py_to_pulumi_names(arguments)
    required = set(_types._required_property_names(arguments))  # wire names; the SDK tells it nowhere else
    return set(wire.values()), required & set(wire.values())


def _snake(name: str) -> str:
    parts = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    return parts.replace("i_a_m", "iam")


def _computed(kind: str, id_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What Google adds to what was asked for."""
    computed: dict[str, Any] = {"etag": "", "generation": ""}
    if kind == "gcp:serviceaccount/account:Account":
        email = id_.rpartition("/")[2]
        computed |= {"email": email, "member": f"serviceAccount:{email}", "name": id_}
    elif kind == "gcp:cloudrunv2/service:Service":
        computed["uri"] = f"https://{inputs.get('name', '')}-0a1b2c3d4e-uk.a.run.app"
    elif kind == "gcp:sql/databaseInstance:DatabaseInstance":
        computed |= {
            "connectionName": f"{inputs.get('project')}:{inputs.get('region')}:{inputs.get('name')}",
            "serviceAccountEmailAddress": "p1-a2b3c4@gcp-sa-cloud-sql.iam.gserviceaccount.com",
        }
    elif kind == "gcp:artifactregistry/repository:Repository":
        computed["name"] = inputs.get("repositoryId")
    elif kind == "gcp:monitoring/notificationChannel:NotificationChannel":
        computed["name"] = id_
    return computed


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Paths at which two inputs differ, with ADD, DELETE or UPDATE."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            below = f"{path}.{name}" if path else name
            if name not in new:
                yield below, "DELETE"
            elif name not in old:
                yield below, "ADD"
            else:
                yield from _differences(old[name], new[name], below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif old != new:
        yield path, "UPDATE"


def _plain(struct: Any) -> dict[str, Any]:
    """The values that a message carries; whole numbers as such, secrets opened: the engine keeps which were."""

    def opened(value: Any) -> Any:
        if isinstance(value, dict):
            if _SECRET in value:
                return opened(value.get("value"))
            return {name: opened(one) for name, one in value.items() if not name.startswith("__")}
        if isinstance(value, list):
            return [opened(one) for one in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    found: dict[str, Any] = opened(json_format.MessageToDict(struct))
    return found


def _struct(values: Mapping[str, Any]) -> Any:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def serve(api: str) -> None:
    """Serve until killed; the port is the only line on standard output, as the engine expects it."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(api), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201
    server.wait_for_termination()


if __name__ == "__main__":
    main: Callable[[str], None] = serve
    main(os.environ[ADDRESS])
    sys.exit()
