"""What a registry answers, told apart: a stand-in speaks the OCI distribution protocol with the words registries use."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_deploy.errors import Failed, PlatformUnavailable, Refused
from pytest_deploy.platform.containers import Login
from pytest_deploy.platform.containers.registry import Registry
from pytest_deploy.platform.image_names import Repository
from tests.http_stand_in import JsonHandler, serving

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LOGIN = Login("oauth2accesstoken", "a-token-of-today")


class Stand(JsonHandler):
    """Answers as the test says; with `realm`, only who brings a bearer token that `/token` gave."""

    status: ClassVar[int] = 200
    kind: ClassVar[str] = OCI
    promised: ClassVar[str] = DIGEST
    realm: ClassVar[str] = ""
    logins: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            self.logins.append(self.headers.get("Authorization", ""))
            asked = parse_qs(url.query)
            allowed = asked["scope"] == ["repository:a/b:pull"] and asked["service"] == ["stand"]
            return self.answer(200 if allowed else 400, {"token": "short-lived"})
        if self.realm and self.headers.get("Authorization") != "Bearer short-lived":
            self.send_response(401)
            challenge = f'Bearer realm="{self.realm}",service="stand",scope="repository:a/b:pull"'
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.status != 200:
            return self.answer(self.status, {"errors": [{"code": "DENIED", "message": "said by the registry"}]})
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.send_header("Docker-Content-Digest", self.promised)
        self.send_header("Content-Length", str(len(MANIFEST)))
        self.end_headers()
        self.wfile.write(MANIFEST)
        return None


@pytest.fixture
def stand() -> Iterator[tuple[type[Stand], Registry]]:
    """A stand-in of this test's own, and the repository a/b there."""

    class Own(Stand):
        logins: ClassVar[list[str]] = []

    with serving(Own) as address:
        yield Own, Registry(Repository.parse(f"{address.partition('//')[2]}/a/b"), LOGIN)


def test_the_digest_is_that_of_the_bytes(stand: tuple[type[Stand], Registry]) -> None:
    served, registry = stand
    assert registry.digest("v1") == DIGEST
    assert registry.digest(DIGEST) == DIGEST
    served.promised = f"sha256:{'0' * 64}"
    with pytest.raises(Failed, match=f"have the digest {DIGEST}, not sha256:0000.*not to be trusted"):
        registry.digest("v1")


def test_other_bytes_than_were_asked_for_are_not_taken(stand: tuple[type[Stand], Registry]) -> None:
    _, registry = stand
    with pytest.raises(Failed, match=r"not to be trusted"):
        registry.digest(f"sha256:{'1' * 64}")


def test_a_token_is_fetched_where_the_registry_asks_for_one(stand: tuple[type[Stand], Registry]) -> None:
    served, registry = stand
    served.realm = f"http://{registry.repository.host}/token"
    assert registry.digest("v1") == DIGEST
    assert served.logins == [f"Basic {base64.b64encode(b'oauth2accesstoken:a-token-of-today').decode()}"]


def test_a_token_is_fetched_for_nobody_without_a_login(stand: tuple[type[Stand], Registry]) -> None:
    served, registry = stand
    served.realm = f"http://{registry.repository.host}/token"
    assert Registry(registry.repository, None).digest("v1") == DIGEST
    assert served.logins == [""]


def test_a_login_is_given_to_no_other_host(stand: tuple[type[Stand], Registry]) -> None:
    served, registry = stand
    served.realm = "http://elsewhere.example.org/token"
    with pytest.raises(Refused, match=r"another place .elsewhere.example.org.: the token is not given there"):
        registry.digest("v1")


@pytest.mark.parametrize(
    "status, kind, words",
    [
        (
            401,
            Refused,
            "the login of oauth2accesstoken is not taken, or has expired; sign in again: 401 .*said by the registry",
        ),
        (403, Refused, "who is signed in may not; give roles/artifactregistry.reader .*403 .*said by the registry"),
        (429, PlatformUnavailable, "the registry answered 429"),
        (503, PlatformUnavailable, "the registry answered 503 .*said by the registry"),
        (302, PlatformUnavailable, "the registry answered 302"),
    ],
)
def test_each_refusal_has_its_own_words(
    stand: tuple[type[Stand], Registry], status: int, kind: type[Exception], words: str
) -> None:
    stand[0].status = status
    with pytest.raises(kind, match=words):
        stand[1].digest("v1")


def test_absent_is_no_error(stand: tuple[type[Stand], Registry]) -> None:
    stand[0].status = 404
    assert stand[1].digest("v1") is None


def test_an_index_is_no_image(stand: tuple[type[Stand], Registry]) -> None:
    stand[0].kind = INDEX
    with pytest.raises(
        Refused, match=r"is an index of several platforms.*one manifest for linux/amd64, without provenance"
    ):
        stand[1].digest("v1")


def test_a_page_is_no_registry(stand: tuple[type[Stand], Registry]) -> None:
    stand[0].kind = "text/html"
    with pytest.raises(PlatformUnavailable, match=r"was answered with text/html: is 127.0.0.1:[0-9]+ a registry"):
        stand[1].digest("v1")


@pytest.mark.parametrize(
    "text, loopback",
    [
        ("127.0.0.1:5000/a", True),
        ("localhost/a", True),
        ("localhost:5000/a", True),
        ("[::1]:5000/a", True),
        ("example.org/a", False),
        ("10.0.0.1:5000/a", False),
    ],
)
def test_only_this_machine_is_asked_without_tls(text: str, loopback: bool) -> None:  # noqa: FBT001
    assert Repository.parse(text).is_loopback is loopback
