from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import first_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.meanings import APPROVES
from pytest_deploy.verify.verify import verify
from tests.required_programs import needs
from tests.unit.record.sample_record import ACTOR, HandClock, RunWriter, deployed, open_log


@dataclass(frozen=True)
class Record:
    """A record to be altered: two runs that deployed, one that rolled back, one that was abandoned."""

    store: Path
    first: str
    second: str
    rolled_back: str
    abandoned: str
    size: int
    anchor: str
    early_anchor: str


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Written once; tests get copies."""
    home = tmp_path_factory.mktemp("record")
    clock = HandClock()
    log = open_log(home, clock)
    first = deployed(log)
    early = log.checkpoint()
    clock.move(600)
    second = deployed(log)
    clock.move(600)
    failing = RunWriter(log).open().step("build").step("traffic", changes=True, outcome="failed")
    rolled_back = failing.roll_back().close("rolled-back")
    clock.move(600)
    gone = RunWriter(log).open().step("build")
    gone.folder.create("junit.xml", b"<testsuites/>\n")
    gone.add("run.abandoned", {"cause": "killed", "found_sha256": gone.folder.seal(sums="FOUND.SHA256SUMS")})
    head = log.head()
    assert head is not None
    return Record(
        home / "reports" / "local", first, second, rolled_back, gone.run, head.seq + 1, log.checkpoint(), early
    )


@pytest.fixture
def record(written: Record, tmp_path: Path) -> Record:
    """A copy of the record, to be altered."""
    store = tmp_path / "inspected"
    shutil.copytree(written.store, store, symlinks=True)
    return Record(**{**vars(written), "store": store})


TSA = """
[tsa]
default_tsa = it
[it]
serial = {home}/serial
signer_cert = {home}/tsa.pem
signer_key = {home}/tsa.key
default_policy = 1.2.3.4
digests = sha256
signer_digest = sha256
"""


EXTENSIONS = "extendedKeyUsage=critical,timeStamping"


@pytest.fixture
def stamped(tmp_path: Path) -> Path:
    """A store with a time-stamped checkpoint by an authority of our own, its certificate in the trust set."""
    needs("openssl")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "tsa.key"),
        *("-out", "tsa.pem", "-days", "9"),
        *("-subj", "/CN=Test TSA", "-addext", EXTENSIONS),
    )
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "tsa.cnf").write_text(TSA.format(home=tmp_path))
    log = open_log(tmp_path)
    store = tmp_path / "reports" / "local"
    enrol_authority(log, (tmp_path / "tsa.pem").read_bytes(), store)
    path = copy(store, 2)
    openssl("ts", "-query", "-data", str(path), "-sha256", "-cert", "-out", "query")
    openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", str(path.with_suffix(".tsr")))
    return store


def enrol_authority(log: Log, certificate: bytes, store: Path) -> None:
    files = {**first_set(log.key), "tsa-ca.pem": certificate}
    folder, sha256 = write_set(log.store, files)
    data = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "a TSA"}
    log.append(parse("key.enrolled", data), run="-", actor=ACTOR)
    write_plain_copies(store, files)


SIGNER = "ada@example.org"
NAMESPACE = "deploy-approval@example.org"
VALID = 'valid-after="20260101Z",valid-before="20261231Z"'


@dataclass
class Signing:
    """A log whose trust set knows one signer, and a request to be approved."""

    home: Path
    log: Log
    run: RunWriter
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.home / "reports" / "local"

    def enroll(self, allowed: str, signer: str = SIGNER) -> None:
        roster = canonical({signer: {"printed_name": "Ada", "roles": ["QA Lead"]}})
        files = {**first_set(self.log.key), "allowed_signers": allowed.encode(), "roles.json": roster}
        folder, sha256 = write_set(self.log.store, files)
        data = {"set": folder, "set_sha256": sha256, "person": SIGNER, "fingerprint": None, "reason": "new"}
        self.log.append(parse("key.enrolled", data), run="-", actor=ACTOR)
        write_plain_copies(self.store, files)

    def sign(self, key: str = "ada", namespace: str = NAMESPACE, **says: Any) -> None:
        """Write the approval and its signature into the run's folder."""
        text = canonical({**self.said, **says})
        path = self.run.folder.create("approvals/qa-lead-01234567.json", text)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.home / key), str(path)]
        subprocess.run(command, check=True, capture_output=True)

    def count(self, **changes: Any) -> None:
        """The event that counts it."""
        file = f"runs/{self.run.run}/approvals/qa-lead-01234567.json"
        digests = [hashlib.sha256((self.store / name).read_bytes()).hexdigest() for name in (file, f"{file}.sig")]
        bound = {key: self.said[key] for key in ("role", "signer", "meaning", "request_sha256")}
        data = {"file": file, "sha256": digests[0], "signature_sha256": digests[1], **bound, **changes}
        self.run.add("approval.signed", data)

    def problems(self) -> list[str]:
        result = verify(self.store)
        assert {finding.step for finding in result.findings} <= {10}
        assert result.ok == (not result.findings)
        return [finding.problem for finding in result.findings]


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    needs("ssh-keygen")
    for key in ("ada", "eve"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)]
        subprocess.run(command, check=True, capture_output=True)
    log = open_log(tmp_path, HandClock())
    signing = Signing(tmp_path, log, RunWriter(log))
    kind, public = (tmp_path / "ada.pub").read_text().split()[:2]
    signing.enroll(f'{SIGNER} namespaces="{NAMESPACE}",{VALID} {kind} {public}\n')
    signing.run.planned_request()
    signing.said = {
        "meaning": APPROVES, "printed_name": "Ada", "signer": SIGNER, "role": "QA Lead",
        "signed_at": "2026-11-22T12:00:00.000Z", "run": signing.run.run, "comment": None,
        "request_sha256": log.run(signing.run.run)[0].data["request_sha256"],
    }  # fmt: skip
    return signing


def signed(store: Path, size: int) -> SignedCheckpoint:
    return entries.parse((store / entries.name(size - 1)).read_bytes()).signed


def copy(store: Path, size: int) -> Path:
    path = store / "anchors" / f"{size:08d}.checkpoint"
    path.parent.mkdir(exist_ok=True)
    path.write_text(signed(store, size).text)
    return path
