"""Small stores whose rosters administrators signed, made from the text of docs/record-format.md and with stock ssh-keygen.

Nothing here uses the code under test for roster.json or its signatures: a mistake there shows in these stores.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner, LogKey, write_plain_copies, write_set
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import APPROVES
from tests.required_programs import needs
from tests.unit.record.sample_record import ACTOR, ORIGIN, PERSON, HandClock, RunWriter, open_log, policy_text

NAMESPACE = "deploy-approval@example.org"
ADMINISTRATOR = "Administrator"
PEOPLE = {"ada": ADMINISTRATOR, "ben": ADMINISTRATOR, "cleo": ADMINISTRATOR, "tina": "Tech Lead"}
"""Who is in the trust root, and in which role."""
KEYS = (*PEOPLE, "ada-2", "eve", "nina", "otto")
"""`ada-2` is another key of Ada's, in the trust root too; Eve is a stranger, Nina and Otto may be enrolled."""


def make_keys(folder: Path) -> dict[str, Path]:
    """A private key for each name, its public half beside it."""
    needs("ssh-keygen")
    for name in KEYS:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    return {name: folder / name for name in KEYS}


def address(name: str) -> str:
    return f"{name.partition('-')[0]}@example.org"


def sign(key: Path, text: bytes, namespace: str = NAMESPACE) -> bytes:
    """What `ssh-keygen -Y sign` makes of a text."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key)]
    return subprocess.run(command, input=text, check=True, capture_output=True).stdout


@functools.cache
def pledge(key: Path, person: str, printed_name: str, origin: str = ORIGIN, namespace: str = NAMESPACE) -> bytes:
    """What a person signs with their own new key."""
    blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
    print_ = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    said = {
        "type": "pledge",
        "meaning": "what is signed with this key is signed by me, and binds me as my handwritten signature does",
        "origin": origin,
        "signer": person,
        "printed_name": printed_name,
        "key": f"SHA256:{print_}",
    }
    return sign(key, canonical(said), namespace)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signature_name(key: Path, kind: str = "roster") -> str:
    blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
    return f"{kind}-{sha256(blob)[:8]}.sig"


@dataclass
class SignedRosters:
    """A log, and the people who may sign as the next set will have them."""

    log: Log
    keys: Mapping[str, Path]
    clock: HandClock
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    """Of allowed_signers, by the name of the key."""
    pledges: dict[str, bytes] = field(default_factory=dict)
    """Of keys that no signed set has yet, by file name."""
    newest: dict[str, bytes] = field(default_factory=dict)
    """The files of the set in force."""
    number: int = 0

    @classmethod
    def begin(cls, home: Path, keys: Mapping[str, Path]) -> SignedRosters:
        """A log that names nobody yet; who will be in the trust root."""
        clock = HandClock()
        it = cls(open_log(home, clock), keys, clock)
        for name, role in PEOPLE.items():
            it.enrol(name, role)
        return it.enrol("ada-2", ADMINISTRATOR)

    @property
    def store(self) -> Path:
        return self.log.store.folder()

    @property
    def trust_root(self) -> str:
        """The SHA-256 of the roster.json that is in force."""
        return sha256(self.newest["roster.json"])

    def after(self, **delta: float) -> str:
        return stamp(self.clock.now() + timedelta(**delta))

    # --- who may sign from the next set on

    def enrol(
        self, name: str, *roles: str, after: str = "20260101000000Z", until: str = "20261231000000Z", person: str = ""
    ) -> SignedRosters:
        """A person in these roles alone, with a key (theirs, or that of another name) that is valid then, and its pledge."""
        kind, public = self.keys[name].with_suffix(".pub").read_text().split()[:2]
        person = address(person or name)
        known_as: dict[str, Any] = {"emails": [], "github": None, "local": None}
        self.roles[person] = {"printed_name": person.partition("@")[0].title(), "roles": list(roles), **known_as}
        options = f'namespaces="{NAMESPACE}",valid-after="{after}",valid-before="{until}"'
        if name not in self.lines:
            self.pledges[signature_name(self.keys[name], "pledge")] = pledge(
                self.keys[name], person, self.roles[person]["printed_name"], self.log.key.origin
            )
        self.lines[name] = f"{person} {options} {kind} {public}\n"
        return self

    # --- sets

    def files(self) -> dict[str, bytes]:
        """The files of the next set but for its roster."""
        lines = "".join(self.lines.values()).encode()
        return {**self.log.key.files, "allowed_signers": lines, "roles.json": canonical(self.roles)}

    def roster(self, files: Mapping[str, bytes], **says: Any) -> dict[str, Any]:
        """What roster.json of the next set says of these files."""
        return {
            "type": "roster",
            "meaning": "puts this roster in force",
            "origin": self.log.key.origin,
            "number": self.number + 1,
            "before": sha256(self.newest["roster.json"]) if self.number else None,
            "allowed_signers_sha256": sha256(files["allowed_signers"]),
            "roles_sha256": sha256(files["roles.json"]),
            "administrators": ADMINISTRATOR,
            "quorum": 2,
            "approvers": ["Tech Lead"],
            "expires": self.after(days=30),
            "reason": "so it is",
            "identity": "",
            **says,
        }

    def put_in_force(
        self,
        *by: str,
        event: str = "key.enrolled",
        text: bytes | None = None,
        namespace: str = NAMESPACE,
        **says: Any,
    ) -> SignedRosters:
        """The next set, its roster signed with these keys; `says` differs from what a roster says, `text` from its bytes."""
        files = {**self.files(), **self.pledges}
        self.pledges = {}
        text = canonical(self.roster(files, **says)) if text is None else text
        files["roster.json"] = text
        files |= {signature_name(self.keys[name]): sign(self.keys[name], text, namespace) for name in by}
        return self.bring(files, event)

    def bring(self, files: dict[str, bytes], event: str = "key.enrolled", **says: Any) -> SignedRosters:
        """The event over a set of exactly these files."""
        folder, digest = write_set(self.log.store, files)
        data = {"set": folder, "set_sha256": digest, "person": None, "fingerprint": None, "reason": "so it is", **says}
        self.log.append(parse(event, data), run="-", actor=ACTOR)
        write_plain_copies(
            self.store, {name: data for name, data in files.items() if not name.endswith((".sig", "roster.json"))}
        )
        self.newest = files
        self.number += 1
        return self

    def root(self, *by: str, **says: Any) -> SignedRosters:
        """The trust root, signed by Ada and Ben unless others are named."""
        return self.put_in_force(*(by or ("ada", "ben")), **says)

    def rotate(self, home: Path, **says: Any) -> SignedRosters:
        """Another key of the log, over the roster in force; or over another one, where it says something else."""
        signer = FileSigner.open_or_create(home / "new.pem")
        key = LogKey(ORIGIN, signer.public)
        files = {**self.newest, **key.files}
        if says:
            files["roster.json"] = canonical(self.roster(files, **says))
            files = resigned(files, [self.keys["ada"], self.keys["ben"]])
        self.bring(files, "key.rotated", **key.named, previous=self.log.key.vkey, signer="file")
        self.log.use_signer(signer)
        return self.bring(files, **key.named)

    # --- what people sign under a roster

    def approve(self, name: str = "tina", role: str = "Tech Lead") -> SignedRosters:
        """A request, and somebody's approval of it that is counted."""
        self._approve(RunWriter(self.log).planned_request(), name, role)
        return self

    def deploy(
        self, roles: Sequence[str], *, by: str = PERSON, asked_by: str = PERSON, **approved: str
    ) -> SignedRosters:
        """A deployment under a policy that asks for these roles; `approved`: a name's role, as each signed and was counted."""
        run = RunWriter(self.log)
        run.policy = policy_text(approval={"roles": list(roles)}, phases={"leave_out": [] if roles else ["approval"]})
        request = run.planned_request(requested_by=asked_by).log.run(run.run)[0].data["request_sha256"]
        for name, role in approved.items():
            self._approve(run, name, role)
        filled = {role: address(name) for name, role in approved.items()}
        run.open(request_sha256=request, deployer=by).step("build")
        run.ask_gates("change", approvals={"inputs": {"filled": filled}})
        run.step("traffic", changes=True).close("deployed")
        return self

    def _approve(self, run: RunWriter, name: str, role: str) -> None:
        bound = {
            "role": role,
            "signer": address(name),
            "meaning": APPROVES,
            "request_sha256": self.log.run(run.run)[0].data["request_sha256"],
        }
        printed = self.roles[address(name)]["printed_name"]
        said = {**bound, "comment": "", "printed_name": printed, "run": run.run, "signed_at": stamp(self.clock.now())}
        text = canonical(said)
        signature = sign(self.keys[name], text)
        path = run.folder.create(f"approvals/{name}.json", text)
        path.with_name(f"{name}.json.sig").write_bytes(signature)
        file = {"file": f"runs/{run.run}/approvals/{name}.json", "sha256": sha256(text)}
        run.add("approval.signed", {**file, "signature_sha256": sha256(signature), **bound})


def resigned(files: Mapping[str, bytes], keys: Sequence[Path]) -> dict[str, bytes]:
    """The same roster.json under other signatures than it had."""
    kept = {name: data for name, data in files.items() if not name.startswith("roster-")}
    return kept | {signature_name(key): sign(key, files["roster.json"]) for key in keys}


def named(rosters: SignedRosters, name: Any) -> SignedRosters:
    """Tina is called so."""
    rosters.roles["tina@example.org"]["printed_name"] = name
    return rosters


def known_as(rosters: SignedRosters, email: str) -> SignedRosters:
    """Somebody without a key is in the roster."""
    rosters.roles[email] = {"printed_name": "Nobody", "roles": []}
    return rosters


def renamed(rosters: SignedRosters, email: str) -> SignedRosters:
    """Tina's key is under this address."""
    rosters.lines["tina"] = rosters.lines["tina"].replace("tina@example.org", email)
    return known_as(rosters, email)


def unpledged(rosters: SignedRosters) -> SignedRosters:
    """Nobody pledges the keys that are new."""
    rosters.pledges = {}
    return rosters


def pledged(rosters: SignedRosters, key: str, person: str, printed_name: str) -> SignedRosters:
    """A pledge more."""
    rosters.pledges[signature_name(rosters.keys[key], "pledge")] = pledge(rosters.keys[key], person, printed_name)
    return rosters


def replaced(rosters: SignedRosters, by: str = "nina", text: bytes = b"", **changes: str) -> SignedRosters:
    """Nina is enrolled with another pledge than her own."""
    said = {"person": "nina@example.org", "printed_name": "Nina", **changes}
    rosters.enrol("nina", "QA Lead")
    rosters.pledges[signature_name(rosters.keys["nina"], "pledge")] = text or pledge(rosters.keys[by], **said)
    return rosters


def leaving(rosters: SignedRosters, email: str) -> SignedRosters:
    """Nobody of this address is in the roster, whoever has a key."""
    del rosters.roles[email]
    return rosters
