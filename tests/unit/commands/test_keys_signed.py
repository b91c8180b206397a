"""Once administrators have signed the roster, the log's key enrolls, revokes and re-roles nobody: they do, by a quorum."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.approvals import enrollment, roster_change
from pytest_deploy.approvals.roster import Person, in_force
from pytest_deploy.commands.keys import enroll, list_keys, pledge, renew, revoke, root, rotate, sign
from pytest_deploy.errors import RecordTampered, Refused, UsageError
from pytest_deploy.policy.policy import RosterRules
from pytest_deploy.record.clock import ShiftedClock, SystemClock
from pytest_deploy.record.key import FileSigner, write_set
from pytest_deploy.record.log import Log
from pytest_deploy.record.signed_roster import digest
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.unit.commands.terminal import answered
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import ACTOR
from tests.unit.sample_environment import REPOSITORY

PEOPLE = {
    "ada": ("Ada Admin", ["Administrator"]), "ben": ("Ben Admin", ["Administrator"]),
    "eva": ("Eva Admin", ["Administrator"]), "quinn": ("Quinn Quist", ["QA Lead"]), "tina": ("Tina Tanaka", ["Tech Lead"]),
}  # fmt: skip
ORIGIN = "deploy.example.org/rehearsal/production"


class Ceremony:
    """A rehearsal's record whose people have keys of their own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.keys = folder / "root", folder / "keys"
        self.root.mkdir()
        self.keys.mkdir()
        shutil.copy(REPOSITORY / "deploy.yaml", self.root)

    @property
    def store(self) -> Path:
        return self.root / "reports" / "rehearsal" / "production"

    def log(self) -> Log:
        key = FileSigner.open(self.root / ".deploy/keys/rehearsal-production.pem")
        return Log(FolderStore(self.store), key, ORIGIN, SystemClock())

    def run(self, command: Callable[..., None], *words: str, **options: Any) -> list[str]:
        return typed(self.root, command, "production", *words, rehearse=True, **options)

    def enroll(self, name: str, /, **options: Any) -> list[str]:
        printed_name, roles = PEOPLE[name]
        if self.store.exists() and self.root_sha256():
            options = {"identity": "in person", **options}
            if "pledge" not in options:
                options["pledge"] = self.pledge(name, options.get("name", ""))
        asked: dict[str, Any] = {
            "person": f"{name}@example.org", "name": printed_name, "role": roles, "reason": f"{name} joined",
            "public_key": self.key(name).with_suffix(".pub"), **options,
        }  # fmt: skip
        return self.run(enroll, **asked)

    def key(self, name: str) -> Path:
        path = self.keys / name
        if not path.exists():
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
        return path

    def pledge(self, name: str, printed_name: str = "") -> Path:
        """What a person makes on their own machine."""
        made = self.keys / f"{name}.production.pledge"
        self.run(pledge, person=f"{name}@example.org", name=printed_name or PEOPLE[name][0], key=self.key(name))
        return made

    def propose_root(self, *names: str, **options: Any) -> list[str]:
        """The roster as the trust root, with the pledges of these."""
        asked = {"reason": "go-live", "identity": "passports, seen by HR", **options}
        return self.run(root, pledge=[self.pledge(name) for name in names], **asked)

    def sign(self, name: str, *words: str, **options: Any) -> list[str]:
        return self.run(sign, *words, key=self.key(name), **options)

    def found(self) -> frozenset[str]:
        log = self.log()
        return frozenset(in_force(log.store, log.history())[0].people)

    def root_sha256(self) -> str:
        log = self.log()
        return in_force(log.store, log.history())[0].root_sha256


@pytest.fixture(scope="module")
def rooted(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    """Three administrators and a QA Lead, whose roster two of them have signed."""
    ceremony = Ceremony(tmp_path_factory.mktemp("rooted"))
    for name in ("ada", "ben", "eva", "quinn"):
        ceremony.enroll(name)
    ceremony.propose_root("ada", "ben", "eva", "quinn")
    ceremony.sign("ada")
    ceremony.sign("ben")
    return ceremony


@pytest.fixture
def ceremony(rooted: Ceremony, tmp_path: Path) -> Ceremony:
    """A copy of it."""
    made = Ceremony(tmp_path)
    shutil.copytree(rooted.root, made.root, dirs_exist_ok=True)
    shutil.copytree(rooted.keys, made.keys, dirs_exist_ok=True)
    return made


def test_the_trust_root_is_in_force_once_two_administrators_have_signed_it(tmp_path: Path) -> None:
    made = Ceremony(tmp_path)
    for name in ("ada", "ben"):
        made.enroll(name)
    proposed = made.propose_root("ada", "ben")

    assert "0 of 2 signed; may sign: Ada Admin, Ben Admin" in proposed[-1]
    assert made.root_sha256() == ""
    first = made.sign("ada")
    assert "1 of 2 signed (ada@example.org); may sign: Ben Admin" in first[-1]
    assert made.root_sha256() == ""
    second = made.sign("ben")

    digest_line = next(line for line in second if line.startswith("root "))
    assert made.root_sha256() == digest_line.split()[1]
    result = verify(made.store, trust_root=made.root_sha256())
    assert result.ok, result.findings
    assert f"root      {made.root_sha256()}" in made.run(list_keys)


def test_an_enrolment_waits_for_a_quorum_and_then_counts(ceremony: Ceremony) -> None:
    proposed = ceremony.enroll("tina", identity="passport, seen by HR")

    assert "tina@example.org" not in ceremony.found()
    assert "0 of 2 signed; may sign: Ada Admin, Ben Admin, Eva Admin" in proposed[-1]
    shown = ceremony.sign("ada", show=True)
    assert "person    Tina Tanaka <tina@example.org>: Tech Lead" in shown
    assert "identity  passport, seen by HR" in shown
    ceremony.sign("ada")
    assert "tina@example.org" not in ceremony.found()
    ceremony.sign("eva")

    assert "tina@example.org" in ceremony.found()
    result = verify(ceremony.store, trust_root=ceremony.root_sha256())
    assert result.ok, result.findings


def test_a_leaver_is_revoked_by_others_and_not_by_themselves(ceremony: Ceremony) -> None:
    time.sleep(1)  # a key is good for whole seconds, one at the least
    ceremony.run(revoke, person="eva@example.org", reason="left")
    with pytest.raises(Refused, match="Eva Admin is whom this change concerns"):
        ceremony.sign("eva")
    ceremony.sign("ada")
    ceremony.sign("ben")

    listed = ceremony.run(list_keys)
    assert any(line.startswith("roster    number 2") for line in listed)
    ceremony.run(renew, reason="yearly")
    with pytest.raises(Refused, match="Eva Admin is no Administrator with a valid key"):
        ceremony.sign("eva")
    assert verify(ceremony.store, trust_root=ceremony.root_sha256()).ok


def test_a_roster_is_renewed_by_those_who_review_it(ceremony: Ceremony) -> None:
    printed = ceremony.run(renew, reason="review of May")
    assert "changes   nobody: the same people and keys" in printed
    ceremony.sign("ada")
    ceremony.sign("ben")

    assert any(line.startswith("roster    number 2") for line in ceremony.run(list_keys))
    assert verify(ceremony.store, trust_root=ceremony.root_sha256()).ok


def test_the_same_signature_twice_is_one(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")
    ceremony.sign("ada")
    again = ceremony.sign("ada")

    assert "1 of 2 signed" in again[-1]
    assert "tina@example.org" not in ceremony.found()


def test_who_is_no_administrator_signs_no_change(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")

    with pytest.raises(Refused, match="Quinn Quist is no Administrator"):
        ceremony.sign("quinn")
    with pytest.raises(Refused, match="knows nobody with the key"):
        ceremony.sign("tina")


def test_an_overtaken_proposal_waits_no_more(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")
    name = re.search(r"proposed  (\S+):", "\n".join(ceremony.run(renew, reason="review")))
    assert name is not None
    with pytest.raises(Refused, match="several wait, say one"):
        ceremony.sign("ada")
    ceremony.sign("ada", name[1])
    ceremony.sign("ben", name[1])

    with pytest.raises(Refused, match="no roster waits for signatures here"):
        ceremony.sign("ada")
    assert "tina@example.org" not in ceremony.found()


def test_a_change_that_nobody_could_sign_is_not_proposed(tmp_path: Path) -> None:
    made = Ceremony(tmp_path)
    made.enroll("quinn")
    with pytest.raises(Refused, match="a change takes 1 who are Administrator, and nobody could sign it"):
        made.propose_root("quinn")
    for name in ("ada", "ben"):
        made.enroll(name)
    made.propose_root("quinn", "ada", "ben")
    made.sign("ada")
    made.sign("ben")
    time.sleep(1)

    with pytest.raises(Refused, match=r"a change takes 2 who are Administrator, and Ada Admin could sign it"):
        made.run(revoke, person="ben@example.org", reason="left")
    with pytest.raises(Refused, match=r"2 who are Administrator must sign this, .* and Ada Admin could"):
        made.enroll("ben", role=["Administrator", "CTO"])


def test_a_root_says_why_and_how_people_were_identified_and_is_one(ceremony: Ceremony, tmp_path: Path) -> None:
    for missing in ({"reason": " ", "identity": "passports"}, {"reason": "go-live", "identity": ""}):
        with pytest.raises(UsageError, match="say --"):
            ceremony.run(root, **missing)
    with pytest.raises(Refused, match="has a trust root already"):
        ceremony.run(root, reason="again", identity="passports")
    unsigned = tmp_path / "unsigned"
    unsigned.mkdir()
    with pytest.raises(Refused, match=r"no administrator signed this roster: `pytest-deploy keys root production"):
        Ceremony(unsigned).run(renew, reason="yearly")


def test_the_logs_key_changes_and_the_roster_stays_signed(ceremony: Ceremony) -> None:
    before = ceremony.root_sha256()
    ceremony.run(rotate, reason="yearly")

    assert ceremony.root_sha256() == before
    assert verify(ceremony.store, trust_root=before).ok


def test_a_proposal_that_ran_out_is_not_put_in_force(ceremony: Ceremony) -> None:
    """Every reader would refuse it, and nothing could be written after it."""
    ceremony.enroll("tina")
    ceremony.sign("ada")
    (proposal,) = roster_change.proposals(ceremony.log())
    signed = ceremony.log()
    signed.clock = ShiftedClock(SystemClock(), timedelta(days=200))

    roster_change.sign_proposal(
        signed, proposal, person=in_force(signed.store, signed.history())[0].people["ben@example.org"],
        key=ceremony.key("ben"), now=SystemClock().now(),
    )  # fmt: skip
    (proposal,) = roster_change.proposals(signed)
    with pytest.raises(Refused, match=r"cannot be put in force: .* runs out at"):
        roster_change.put_proposal_in_force(signed, ceremony.store, proposal, actor=ACTOR, now=SystemClock().now())
    assert "tina@example.org" not in ceremony.found()


def test_of_two_who_complete_it_at_the_same_moment_one_puts_it_in_force(ceremony: Ceremony) -> None:
    """A person takes minutes to type a passphrase: both looked at the roster before either signed."""
    ceremony.enroll("tina")
    ceremony.sign("ada")
    logs = [ceremony.log(), ceremony.log()]
    people = in_force(logs[0].store, logs[0].history())[0].people
    looked_at = [roster_change.proposals(log)[0] for log in logs]
    now = SystemClock().now()

    def complete(number: int, name: str) -> None:
        person = people[f"{name}@example.org"]
        signed = roster_change.sign_proposal(
            logs[number], looked_at[number], person=person, key=ceremony.key(name), now=now
        )
        roster_change.put_proposal_in_force(logs[number], ceremony.store, signed, actor=ACTOR, now=now)

    complete(0, "ben")
    with pytest.raises(Refused, match="is in force already"):
        complete(1, "eva")
    assert verify(ceremony.store, trust_root=ceremony.root_sha256()).ok


def test_a_link_among_proposals_is_none(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")
    (ceremony.store / roster_change.FOLDER / "0002-link").symlink_to(ceremony.keys)

    assert len(roster_change.proposals(ceremony.log())) == 1


def test_two_people_are_asked_where_there_are_two_whatever_policy_says(tmp_path: Path) -> None:
    made = Ceremony(tmp_path)
    policy = made.root / "deploy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + "\nroster: {quorum: 1}\n", encoding="utf-8")
    made.enroll("ada")
    assert "0 of 1 signed" in made.propose_root("ada")[-1]
    made.enroll("ben")

    assert "0 of 2 signed" in made.propose_root("ada", "ben")[-1]


def test_nobody_is_enrolled_to_deploy_and_to_say_who_approves(ceremony: Ceremony) -> None:
    with pytest.raises(Refused, match="who deploys must not change who approves"):
        ceremony.enroll("tina", role=["Deployment Manager", "Administrator"])
    ceremony.enroll("tina", role=["Deployment Manager"])


def test_no_roster_is_proposed_that_nobody_could_change_again(ceremony: Ceremony) -> None:
    """A roster outlives the keys of its administrators: those who hold the role and no key sign nothing."""
    policy = ceremony.root / "deploy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + "\nroster: {quorum: 9}\n", encoding="utf-8")
    time.sleep(1)
    with pytest.raises(Refused, match=r"a change takes 3 who are Administrator, and Ada Admin, Ben Admin could"):
        ceremony.run(revoke, person="eva@example.org", reason="left")


def test_with_two_administrators_it_is_said_that_one_more_is_wanted(tmp_path: Path) -> None:
    made = Ceremony(tmp_path)
    for name in ("ada", "ben"):
        made.enroll(name)
    assert any(line.startswith("needed    one more Administrator") for line in made.propose_root("ada", "ben"))


def test_all_that_a_change_changes_is_shown_before_it_is_signed(ceremony: Ceremony) -> None:
    ceremony.enroll("quinn", github=666, local="deployer", git=["quinn@home.example"], role=["QA Lead", "CTO"])
    shown = ceremony.sign("ada", show=True)

    assert "was       Quinn Quist <quinn@example.org>: QA Lead" in shown
    assert (
        "person    Quinn Quist <quinn@example.org>: QA Lead, CTO; GitHub 666, local deployer, git quinn@home.example"
        in shown
    )
    assert not any("eva@example.org" in line for line in shown if line.startswith("person"))


def test_that_other_people_shall_approve_is_shown_before_it_is_signed(ceremony: Ceremony) -> None:
    config = ceremony.root / "deploy.yaml"
    config.write_text(config.read_text().replace("roles: [Tech Lead, QA Lead]", "roles: [QA Lead]"))

    ceremony.run(renew, reason="review")
    shown = ceremony.sign("ada")

    assert "changed   who approves: Tech Lead, QA Lead before" in shown
    assert any(line.startswith("roster ") and line.endswith("; QA Lead approve each deployment") for line in shown)


def test_what_a_proposal_says_cannot_draw_over_what_is_shown(ceremony: Ceremony) -> None:
    """Whoever may write to the store may lay a proposal there."""
    log, (person, public) = ceremony.log(), _tina(ceremony)
    pledged = [ceremony.pledge("tina").read_bytes()]
    person = replace(person, roles=("Tech Lead\x1b[2K\rperson    nobody",))
    change = enrollment.enrolling(
        log, [person], {person.email: public}, namespace="deploy-approval@deploy.example.org",
        now=SystemClock().now(), reason="x",
    )  # fmt: skip
    roster_change.propose(
        log, change, RosterRules(), approvers=(), identity="y", now=SystemClock().now(), pledged=pledged
    )

    shown = "\n".join(ceremony.sign("ada", show=True))
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_who_looks_like_somebody_takes_the_administrators_word(ceremony: Ceremony) -> None:
    alike = "alike     Eva Admin <eva@example.org>: Administrator and Eva Adm\u00edn <tina@example.org>: Tech Lead"
    with pytest.raises(Refused, match=r"looks like Eva Admin <eva@example\.org>"):
        ceremony.enroll("tina", name="Eva Adm\u00edn")
    ceremony.enroll("tina", name="Eva Adm\u00edn", distinct_from=["eva@example.org"])
    shown = ceremony.sign("ada")
    ceremony.sign("ben")

    assert "identity  in person; not the same person as eva@example.org" in shown
    assert alike in shown
    assert "tina@example.org" in ceremony.found()


def test_a_proposal_that_tells_nobody_apart_is_shown_and_not_signed(ceremony: Ceremony) -> None:
    log, (person, public) = ceremony.log(), _tina(ceremony)
    pledged = [ceremony.pledge("tina", "EVA ADMIN").read_bytes()]
    change = enrollment.enrolling(
        log, [replace(person, printed_name="EVA ADMIN")], {person.email: public},
        namespace="deploy-approval@deploy.example.org", now=SystemClock().now(), reason="x",
        distinct_from=["eva@example.org"],
    )  # fmt: skip
    roster_change.propose(
        log, change, RosterRules(), approvers=(), identity="passport", now=SystemClock().now(), pledged=pledged
    )

    assert any(line.startswith("alike     Eva Admin") for line in ceremony.sign("ada", show=True))
    with pytest.raises(Refused, match="looks like Eva Admin"):
        ceremony.sign("ada")


def test_a_proposal_under_another_name_than_its_own_does_not_wait(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")
    (proposal,) = roster_change.proposals(ceremony.log())
    folder = ceremony.store / roster_change.FOLDER
    shutil.copytree(folder / proposal.name, folder / "0002-aaaaaaaaaaaa")

    assert [one.name for one in roster_change.proposals(ceremony.log())] == [proposal.name]


def test_who_gets_a_key_pledges_it(ceremony: Ceremony, tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"the new key of tina@example\.org has no pledge.*keys pledge production --rehearse --person"
    ):
        ceremony.enroll("tina", pledge=None)
    for others in ("quinn", "eva"):
        with pytest.raises(Refused, match="has no pledge"):
            ceremony.enroll("tina", pledge=ceremony.pledge(others))
    with pytest.raises(
        Refused, match=r"is no pledge of Tina Tanaka <tina@example\.org> for deploy\.example\.org/rehearsal/production"
    ):
        ceremony.enroll("tina", pledge=ceremony.pledge("tina", "Tina Tanaka-Smith"))
    with pytest.raises(Refused, match="a --pledge is none"):
        ceremony.enroll("tina", pledge=ceremony.key("tina"))
    with pytest.raises(UsageError, match="there is no such file; right is what `keys pledge` made"):
        ceremony.enroll("tina", pledge=tmp_path / "none.pledge")
    assert roster_change.proposals(ceremony.log()) == ()
    ceremony.enroll("tina")
    ceremony.sign("ada")
    ceremony.sign("ben")

    assert "tina@example.org" in ceremony.found()


def test_each_key_of_the_trust_root_is_pledged(tmp_path: Path) -> None:
    made = Ceremony(tmp_path)
    for name in ("ada", "ben"):
        made.enroll(name)
    with pytest.raises(UsageError, match="give it to `keys root`"):
        made.enroll("quinn", pledge=made.pledge("quinn"))

    with pytest.raises(Refused, match=r"the new key of ben@example\.org has no pledge"):
        made.propose_root("ada")
    made.propose_root("ada", "ben")


def test_a_pledge_says_what_it_is_before_it_is_signed(ceremony: Ceremony) -> None:
    said = ceremony.run(pledge, person="Tina@example.org", name="Tina Tanaka", key=ceremony.key("tina"))

    assert (
        said[0]
        == "signing   what is signed with this key is signed by me, and binds me as my handwritten signature does"
    )
    assert said[1].startswith(f"as        Tina Tanaka <tina@example.org>, for {ORIGIN}, with SHA256:")
    with pytest.raises(UsageError, match="is no address to sign under"):
        ceremony.run(pledge, person="tina+1@example.org", name="Tina Tanaka", key=ceremony.key("tina"))


@pytest.mark.parametrize("answer, code", [("n\n", 1), ("y\n", 0)])
def test_a_roster_is_signed_by_who_says_yes_at_the_terminal(ceremony: Ceremony, answer: str, code: int) -> None:
    ceremony.enroll("tina")
    words = ("keys", "sign", "production", "--rehearse", "--key", str(ceremony.key("ada")))

    ended, printed = answered(ceremony.root, *words, answer=answer)

    assert (ended, "Sign as Administrator? [y/N]" in printed) == (code, True), printed
    signed = "0 of 2 signed;" if code else "1 of 2 signed (ada@example.org);"
    assert any(signed in line for line in ceremony.run(list_keys))


@pytest.mark.parametrize("answer, code", [("n\n", 1), ("y\n", 0)])
def test_a_key_is_pledged_by_who_says_yes_at_the_terminal(ceremony: Ceremony, answer: str, code: int) -> None:
    who = ("--person", "tina@example.org", "--name", "Tina Tanaka", "--key", str(ceremony.key("tina")))

    ended, printed = answered(ceremony.root, "keys", "pledge", "production", "--rehearse", *who, answer=answer)

    assert (ended, "Sign as Tina Tanaka? [y/N]" in printed) == (code, True), printed
    assert (ceremony.keys / "tina.production.pledge").exists() == (code == 0)


def test_show_signs_no_roster(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")

    shown = ceremony.sign("ada", show=True)

    assert "0 of 2 signed;" in shown[-1]
    assert any("0 of 2 signed;" in line for line in ceremony.run(list_keys))


def test_show_pledges_nothing(ceremony: Ceremony) -> None:
    said = ceremony.run(pledge, person="tina@example.org", name="Tina Tanaka", key=ceremony.key("tina"), show=True)

    assert said[-1].startswith("as        Tina Tanaka <tina@example.org>")
    assert not (ceremony.keys / "tina.production.pledge").exists()


def test_a_proposal_whose_pledge_is_taken_away_is_not_signed(ceremony: Ceremony) -> None:
    ceremony.enroll("tina")
    (laid,) = (ceremony.store / roster_change.FOLDER).glob("0002-*/pledge-*.sig")
    laid.unlink()

    with pytest.raises(Refused, match=r"can never be in force: the new key of tina@example\.org has no pledge"):
        ceremony.sign("ada")


def test_a_key_that_comes_again_after_its_end_is_enrolled_and_not_revoked(ceremony: Ceremony) -> None:
    ceremony.enroll("tina", days=1)
    ceremony.sign("ada")
    ceremony.sign("ben")
    log, (person, public) = ceremony.log(), _tina(ceremony)
    log.clock = ShiftedClock(SystemClock(), timedelta(days=2))
    people, now = in_force(log.store, log.history())[0].people, log.clock.now()
    change = enrollment.enrolling(
        log, [person], {person.email: public}, namespace="deploy-approval@deploy.example.org", now=now, reason="back"
    )
    pledged = [ceremony.pledge("tina").read_bytes()]
    proposal = roster_change.propose(
        log, change, RosterRules(), approvers=(), identity="passport", now=now, pledged=pledged
    )
    for name in ("ada", "ben"):
        signer = people[f"{name}@example.org"]
        proposal = roster_change.sign_proposal(log, proposal, person=signer, key=ceremony.key(name), now=now)
    event = roster_change.put_proposal_in_force(log, ceremony.store, proposal, actor=ACTOR, now=now)

    assert event is not None
    assert (event.type, event.data["person"]) == ("key.enrolled", person.email)


def test_how_a_person_was_verified_is_said_where_it_is_signed(ceremony: Ceremony, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say --identity"):
        ceremony.enroll("tina", identity="")
    unsigned = tmp_path / "unsigned"
    unsigned.mkdir()
    with pytest.raises(UsageError, match="nobody signed this one yet"):
        Ceremony(unsigned).enroll("tina", identity="passport")


def test_a_change_that_changes_nothing_is_a_renewal(ceremony: Ceremony) -> None:
    with pytest.raises(Refused, match="this changes nothing"):
        ceremony.enroll("quinn")


# --- with the log's key alone


def _tina(ceremony: Ceremony) -> tuple[Person, str]:
    person = Person("tina@example.org", "Tina Tanaka", ("Tech Lead",), None, None, ())
    return person, ceremony.key("tina").with_suffix(".pub").read_text(encoding="utf-8").strip()


def test_the_logs_key_alone_enrolls_nobody(ceremony: Ceremony) -> None:
    person, public = _tina(ceremony)
    with pytest.raises(Refused, match="only they change it"):
        enrollment.enroll(
            ceremony.log(), ceremony.store, [person], {person.email: public},
            namespace="deploy-approval@deploy.example.org", now=SystemClock().now(), actor=ACTOR, reason="mine",
        )  # fmt: skip
    assert person.email not in ceremony.found()


@pytest.mark.parametrize("keep", [True, False], ids=["the old statement kept", "unsigned"])
def test_a_set_that_the_logs_key_forged_is_refused_by_every_reader(ceremony: Ceremony, *, keep: bool) -> None:
    """By whoever writes the events themselves, without a command."""
    log, (person, public) = ceremony.log(), _tina(ceremony)
    change = enrollment.enrolling(
        log, [person], {person.email: public}, namespace="deploy-approval@deploy.example.org",
        now=SystemClock().now(), reason="mine",
    )  # fmt: skip
    newest = [event for event in log.events() if event.type.startswith("key.")][-1].data["set"]
    old = {path.name: path.read_bytes() for path in (ceremony.store / newest).iterdir()}
    files = {
        name: data for name, data in old.items() if keep or not name.startswith(("roster", "pledge"))
    } | change.after.files()
    folder, sha256 = write_set(log.store, files)
    content = change.kind(set=folder, set_sha256=sha256, person=person.email, fingerprint=None, reason="mine")
    forged = log.append(content, run="-", actor=ACTOR)

    with pytest.raises(RecordTampered, match=f"event {forged.seq} puts a roster in force that is not signed"):
        ceremony.found()
    result = verify(ceremony.store)
    assert next(finding.place for finding in result.findings) == f"log/{forged.seq:08d}.event"


def test_another_root_is_refused_where_somebody_holds_the_right_one(ceremony: Ceremony) -> None:
    right = ceremony.root_sha256()

    assert verify(ceremony.store, trust_root=right).ok
    result = verify(ceremony.store, trust_root=digest(b"another"))
    assert [one.problem for one in result.findings] == ["--trust-root: is another trust root than the one given"]
