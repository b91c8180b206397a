"""Who administers what the record rests on is listed, holds no business role, and does not deploy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import kms_v1
from google.iam.v1 import policy_pb2
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Person
from pytest_deploy.gates import administrators
from pytest_deploy.gates.administrators import Account, Found, Holder
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import Unavailable, Verdict
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy import storage
from pytest_deploy.policy.policy import MOST_ACCOUNTS, Administrators, Approval, Deployer, Thaw
from pytest_deploy.policy.rollout import Rollback
from pytest_deploy.policy.types import Section
from pytest_deploy.record.actor import local_user
from pytest_deploy.record.event import LIMIT, canonical
from pytest_deploy.release.candidate import ReleaseCandidate
from tests.fake_gcs import asking
from tests.fake_github import REPOSITORY, TOKEN, GitHub
from tests.kms_stand_in import RING, client_over, running
from tests.locked_bucket import LockedBucket, locked_bucket
from tests.required_programs import needs
from tests.unit.approvals.pending_request import NAMESPACE, make_keys, public
from tests.unit.gates.gate_samples import outcome_of
from tests.unit.record.sample_record import ACTOR, HandClock
from tests.unit.sample_environment import environment
from tests.unit.verify.signed_rosters import SignedRosters
from tests.unit.verify.signed_rosters import make_keys as make_people

DANA, QUINN, DORA = "dana@example.org", "quinn@example.org", "dora@example.org"
RULE = Administrators(store={f"user:{DANA}": DANA}, database={"postgres": DANA})
FOUND: Found = {
    "store": {f"user:{DANA}": Account(("roles/storage.admin",), DANA)},
    "database": {"postgres": Account(("superuser",))},
}
NOBODY: dict[str, Holder] = {}


def judged(
    rule: Administrators = RULE,
    found: Found = FOUND,
    holders: dict[str, Holder] = NOBODY,
    *,
    deployer: str | None = DORA,
    besides: str = "Administrator",
) -> Verdict:
    return administrators.judge(
        rule, found, holders, deployer="dora", person=deployer, besides=besides, enroll="ENROLL"
    )


def test_those_who_are_listed_and_hold_no_business_role_may_administer() -> None:
    verdict = judged()

    assert verdict.passed
    assert verdict.reason == (
        "who administers the record's bucket (1 of 1 accounts), the database (1 of 1 accounts), as each tells itself, is listed, and none "
        "of them whom the roster knows has a business role or deploys"
    )
    assert verdict.inputs["listed"] == {"store": {f"user:{DANA}": DANA}, "database": {"postgres": DANA}}
    assert verdict.inputs["found"]["database"] == [{"account": "postgres", "rights": ["superuser"], "known_as": None}]


@pytest.mark.parametrize("role", ["Tech Lead", "QA Lead", "Deployment Manager"])
def test_an_administrator_holds_no_business_role(role: str) -> None:
    verdict = judged(holders={DANA: Holder(DANA, frozenset({role, "Administrator"}), "ENROLL DANA")})

    assert outcome_of(verdict) == (False, "mend")
    assert f"{DANA}, who administers the database as postgres, holds {role}" in verdict.reason
    assert verdict.remedy.endswith(
        "take postgres off administrators.database and its rights from it, or give it to somebody without a role; or take the role from "
        f"{DANA}, with a new key of theirs where the old one ended: `ENROLL DANA`"
    )
    assert verdict.inputs["known"] == {DANA: {"person": DANA, "roles": ["Administrator", role]}}


def test_who_signs_the_roster_may_administer_unless_policy_asks_that_role_for_more() -> None:
    holders = {DANA: Holder(DANA, frozenset({"Administrator"}))}

    assert judged(holders=holders).passed
    assert "holds Administrator" in judged(holders=holders, besides="").reason


def test_an_administrator_does_not_deploy_and_somebody_else_may() -> None:
    holders = {DANA: Holder(DANA, frozenset())}

    assert judged(holders=holders, deployer=DORA).passed
    verdict = judged(holders=holders, deployer=DANA)
    assert outcome_of(verdict) == (False, "mend")
    assert f"{DANA}, who administers the record's bucket as user:{DANA}, deploys" in verdict.reason
    assert verdict.remedy == "have it started by somebody who administers nothing"


def test_a_deployer_whom_the_roster_does_not_know_may_be_anybody() -> None:
    verdict = judged(deployer=None)

    assert outcome_of(verdict) == (False, "mend")
    assert "dora is nobody whom the roster knows" in verdict.reason
    assert verdict.remedy == "have it started by somebody of the roster, or make them known: `ENROLL`"


@pytest.mark.parametrize(
    "system, account",
    [
        ("store", "user:eve@example.org"),
        ("store", "USER:dana@example.org"),
        ("database", "eve"),
        ("database", "Postgres"),
    ],
)
def test_an_account_that_is_not_listed_is_refused_by_name(system: str, account: str) -> None:
    verdict = judged(found={**FOUND, system: {**FOUND[system], account: Account(("roles/owner",))}})  # type: ignore[dict-item]

    assert outcome_of(verdict) == (False, "mend")
    assert f"{account} administers " in verdict.reason
    assert verdict.reason.endswith(" (roles/owner) and is not listed")
    assert verdict.remedy == f"take the rights from it, or list whose it is under administrators.{system}"


@pytest.mark.parametrize(
    "role, told",
    [
        ("roles/storage.admin", "(roles/storage.admin)"),
        ("projects/p/roles/keeper", "(projects/p/roles/keeper, which is not known here and so counts)"),
    ],
)
def test_a_role_that_is_not_known_here_is_refused_with_that_word(role: str, told: str) -> None:
    verdict = judged(found={**FOUND, "store": {"user:eve@example.org": Account((role,))}})

    assert f"user:eve@example.org administers the record's bucket {told} and is not listed" in verdict.reason
    assert verdict.inputs["found"]["store"][0]["rights"] == [role]


def test_a_login_is_the_same_in_capitals_and_a_role_of_the_database_is_not() -> None:
    rule = Administrators(github={"Dana-Dev": DANA})

    assert judged(rule, {"github": {"dana-dev": Account(("admin",))}}).passed
    assert not judged(Administrators(database={"Dana": DANA}), {"database": {"dana": Account(("owner",))}}).passed


def test_an_account_is_whose_the_roster_knows_it_as_whatever_policy_says_of_it() -> None:
    """Else an approver's own account would be listed under somebody else."""
    rule = Administrators(github={"quinn-q": DANA})
    found: Found = {"github": {"quinn-q": Account(("admin",), "github:42:quinn-q")}}

    assert judged(rule, found).passed
    verdict = judged(rule, found, {"github:42:quinn-q": Holder(QUINN, frozenset({"QA Lead"}))})
    assert f"{QUINN}, who administers the repository as quinn-q, holds QA Lead" in verdict.reason


def test_what_cannot_be_read_back_blocks_with_its_cause() -> None:
    verdict = judged(found={**FOUND, "store": Unavailable("gs://record does not answer")})

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == ("who administers the record's bucket could not be read back: gs://record does not answer")
    assert verdict.inputs["found"]["store"] == {"problem": "gs://record does not answer"}


@pytest.mark.parametrize("accounts, told", [(MOST_ACCOUNTS, False), (MOST_ACCOUNTS + 1, True)])
def test_more_accounts_than_an_event_holds_are_counted_and_not_named(accounts: int, *, told: bool) -> None:
    found = administrators.few({f"user:{number}@example.org": Account(("roles/owner",)) for number in range(accounts)})

    assert isinstance(found, Unavailable) == told
    if isinstance(found, Unavailable):
        assert found.problem.startswith(
            f"{accounts} accounts have its rights, and at most {MOST_ACCOUNTS} can be listed"
        )


def test_the_longest_refusal_fits_into_an_event() -> None:
    """As many as can be listed, each idle, and as many others who hold rights, of each system."""
    longest = "service-123456789012@gcp-sa-somethings.iam.gserviceaccount.com"
    rule = Administrators(
        **{
            system: {f"serviceAccount:listed-{number}-{longest}": "dana@example.org" for number in range(MOST_ACCOUNTS)}
            for system in Administrators.model_fields
        }
    )
    found: Found = {
        system: {
            f"serviceAccount:other-{number}-{longest}": Account(("roles/storage.admin",))
            for number in range(MOST_ACCOUNTS)
        }
        for system in Administrators.model_fields
    }
    verdict = administrators.judge(
        rule, found, {}, deployer="dora", person="dora@example.org", besides="Administrator", enroll="enroll"
    )

    assert verdict.blocks
    assert len(canonical({"inputs": verdict.inputs, "reason": verdict.reason, "remedy": verdict.remedy})) < LIMIT - 4096


def test_a_listed_account_that_holds_no_right_any_more_passes_with_a_word() -> None:
    verdict = judged(found={**FOUND, "database": {}})

    assert verdict.passed
    assert verdict.reason.endswith("; postgres holds no such right of the database now")
    assert verdict.inputs["idle"] == [["database", "postgres"]]


def test_the_name_of_a_role_cannot_steer_a_terminal() -> None:
    verdict = judged(found={**FOUND, "database": {"eve\x1b[2J": Account(("owner",))}})

    assert "eve\\x1b[2J administers the database" in verdict.reason


NAMES = st.text("abcde", min_size=1, max_size=2)


@given(listed=st.sets(NAMES), holding=st.sets(NAMES), business=st.sets(NAMES))
def test_it_passes_where_who_holds_is_listed_and_no_listed_person_has_a_role(
    listed: set[str], holding: set[str], business: set[str]
) -> None:
    rule = Administrators(database={name: f"{name}@example.org" for name in listed})
    found: Found = {"database": {name: Account(("superuser",)) for name in holding}}
    holders = {f"{name}@example.org": Holder(f"{name}@example.org", frozenset({"QA Lead"})) for name in business}

    verdict = judged(rule, found, holders)

    assert verdict.passed == (holding <= listed and not listed & business)
    assert all(f"{name} administers the database" in verdict.reason for name in holding - listed)


# --- what is gathered


@pytest.fixture
def bucket() -> Iterator[LockedBucket]:
    with locked_bucket("example-diary-production-record") as (standing, url), asking(url):
        yield standing


def asked(made: Environment) -> Verdict:
    """What the gate says of a release that this user deploys."""
    candidate = ReleaseCandidate("deploy", "", "c" * 40, None, None, "", None)
    return Gatekeeper(made, candidate).check("administrators")


def listing(made: Environment, **listed: dict[str, str]) -> Environment:
    made.policy = made.policy.model_copy(update={"administrators": Administrators(**listed)})
    return made


def in_the_bucket(folder: Path) -> Environment:
    made = environment(folder / "made", clock=HandClock())
    made.policy = made.policy.model_copy(update={"record": made.policy.record.model_copy(
        update={"store": "gcs", "bucket": "example-diary-production-record"})})  # fmt: skip
    return made


def enroll(made: Environment, folder: Path, *people: Person) -> None:
    needs("ssh-keygen")
    folder.mkdir(exist_ok=True)
    keys = make_keys(folder, [person.email for person in people])
    enrollment.enroll(
        made.log, made.workspace.store, list(people), {person.email: public(keys[person.email]) for person in people},
        namespace=NAMESPACE, now=made.system_clock.now(), actor=ACTOR, reason="the roster",
    )  # fmt: skip


DEPLOYS = Person(DORA, "Dora Diaz", ("Deployment Manager",), None, local_user(), ())
SIGNS = Person(QUINN, "Quinn Quist", ("QA Lead",), 42, None, ("quinn@home.example.org",))


def test_a_policy_without_the_section_asks_nobody(tmp_path: Path) -> None:
    with closing(environment(tmp_path, clock=HandClock())) as made:
        assert asked(made).result == "not-applicable"


def test_a_rehearsal_says_that_policy_lists_them_and_that_nobody_is_asked(tmp_path: Path) -> None:
    with closing(environment(tmp_path, clock=HandClock())) as made:
        replaced = {"administrators.database.postgres": {"policy": DANA, "used": None}}
        made.policy = made.policy.model_copy(update={"substituted": {**made.policy.substituted, **replaced}})
        verdict = asked(made)

    assert (verdict.result, verdict.reason) == (
        "not-applicable",
        "a rule in place of policy's own lists nobody to ask about",
    )


def test_who_approves_no_more_keeps_the_role_until_the_command_that_is_told_takes_it(
    tmp_path: Path, bucket: LockedBucket
) -> None:
    """Keys that end leave a person their roles: another key, without a role, ends those."""
    bucket.bindings = [{"role": "roles/storage.admin", "members": ["group:storage@example.org"]}]
    with closing(listing(in_the_bucket(tmp_path), store={"group:storage@example.org": QUINN})) as made:
        enroll(made, tmp_path / "first", DEPLOYS, SIGNS)
        enrollment.revoke(made.log, made.workspace.store, QUINN, reason="left QA", now=made.system_clock.now(), actor=ACTOR)  # fmt: skip
        before = asked(made)
        enroll(made, tmp_path / "second", replace(SIGNS, roles=()))
        after = asked(made)

    assert outcome_of(before) == (False, "mend")
    told = before.remedy.rpartition("`pytest-deploy keys enroll ")[2]
    assert "--person quinn@example.org --name 'Quinn Quist' --github 42 --git quinn@home.example.org" in told
    assert "--role" not in told
    assert after.passed, after.reason


@pytest.mark.parametrize(
    "listed, holds",
    [(DANA, ""), (QUINN, QUINN), ("quinn@home.example.org", QUINN), (DORA, DORA)],
    ids=["of nobody's", "an approver's", "of an approver's commits", "the deployer's"],
)
def test_who_is_listed_is_held_against_the_roster(
    tmp_path: Path, bucket: LockedBucket, listed: str, holds: str
) -> None:
    bucket.bindings = [{"role": "roles/storage.admin", "members": ["group:storage@example.org"]}]
    with closing(listing(in_the_bucket(tmp_path), store={"group:storage@example.org": listed})) as made:
        enroll(made, tmp_path, DEPLOYS, SIGNS)
        verdict = asked(made)

    assert verdict.passed == (not holds), verdict.reason
    assert f"{holds}, who administers the record's bucket as group:storage@example.org" in verdict.reason or not holds


@pytest.mark.parametrize("who", [QUINN, "quinn@home.example.org", "erik@example.org"])
def test_a_user_of_google_s_is_known_by_their_own_address(tmp_path: Path, bucket: LockedBucket, who: str) -> None:
    """Whoever policy says it is: here an approver's account is listed as somebody else's."""
    bucket.bindings = [{"role": "roles/storage.admin", "members": [f"user:{who}"]}]
    with closing(listing(in_the_bucket(tmp_path), store={f"user:{who}": DANA})) as made:
        enroll(made, tmp_path, DEPLOYS, SIGNS)
        verdict = asked(made)

    assert verdict.passed == (who == "erik@example.org"), verdict.reason
    assert (
        verdict.passed or f"{QUINN}, who administers the record's bucket as user:{who}, holds QA Lead" in verdict.reason
    )


ROSTER_ROLE = "Administrator"


@pytest.mark.parametrize(
    "asks, besides",
    [
        ({}, ROSTER_ROLE),
        ({"thaw": Thaw(roles=(ROSTER_ROLE,))}, None),
        ({"rollback": Rollback(roles=(ROSTER_ROLE,))}, None),
        ({"deployer": Deployer(role=ROSTER_ROLE)}, None),
        ({"approval": Approval(roles=(ROSTER_ROLE,))}, None),
    ],
    ids=["nothing more", "thaw", "rollback", "deployer", "approval"],
)
def test_the_roster_s_role_is_a_business_role_where_policy_asks_it_for_more(
    tmp_path: Path, asks: dict[str, Section], besides: str | None
) -> None:
    with closing(listing(environment(tmp_path, clock=HandClock()), github={})) as made:
        made.policy = made.policy.model_copy(update=asks)

        assert asked(made).inputs["besides"] == besides


@pytest.mark.parametrize("approvers, besides", [(["QA Lead"], ROSTER_ROLE), (["QA Lead", ROSTER_ROLE], None)])
def test_so_it_is_where_administrators_signed_that_it_approves(
    tmp_path: Path, approvers: list[str], besides: str | None
) -> None:
    needs("ssh-keygen")
    with closing(listing(environment(tmp_path / "made", clock=HandClock()), github={})) as made:
        people = SignedRosters(made.log, make_people(tmp_path), HandClock(made.system_clock.now()))
        people.enrol("ada", ROSTER_ROLE).enrol("ben", ROSTER_ROLE).root(approvers=approvers)

        assert asked(made).inputs["besides"] == besides


@pytest.mark.parametrize("number", [41, 42])
def test_a_github_account_is_known_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    github, made = GitHub(collaborators={"qq": (number, "admin")}), environment(tmp_path / "made", clock=HandClock())
    with github.serving(), closing(listing(made, github={"qq": DANA})):
        anchors = made.policy.anchors.model_copy(
            update={"github": storage.GitHub(repository=REPOSITORY, api=github.url)}
        )
        made.policy = made.policy.model_copy(update={"anchors": anchors})
        enroll(made, tmp_path, DEPLOYS, SIGNS)
        verdict = asked(made)

    assert verdict.passed == (number == 41), verdict.reason


def test_a_list_that_nothing_can_be_held_against_blocks(tmp_path: Path) -> None:
    """Policy refuses it where it is loaded; so does the gate."""
    with closing(listing(environment(tmp_path / "made", clock=HandClock()), store={}, key={}, github={})) as made:
        enroll(made, tmp_path, DEPLOYS)
        verdict = asked(made)

    assert verdict.blocks
    for part in ("the record lies in no bucket", "the log's key is a file", "anchors.github names no repository"):
        assert part in verdict.reason


@pytest.mark.parametrize("who", [DANA, QUINN])
def test_who_administers_the_key_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    made = environment(tmp_path / "made", clock=HandClock())
    with (
        tempfile.TemporaryDirectory(prefix="kms-") as short,
        running(Path(short)) as (kms, channel),
        closing(listing(made, key={f"user:{who}": DANA})),
    ):
        enroll(made, tmp_path, DEPLOYS, SIGNS)
        client = client_over(channel)
        monkeypatch.setattr(kms_v1, "KeyManagementServiceClient", lambda: client)  # Google's own, at another address
        kms.policies[RING.partition("/cryptoKeyVersions")[0]] = policy_pb2.Policy(
            bindings=[policy_pb2.Binding(role="roles/cloudkms.admin", members=[f"user:{who}"])]
        )
        made.policy = made.policy.model_copy(
            update={"record": made.policy.record.model_copy(update={"key": f"{RING}/1"})}
        )
        verdict = asked(made)

    assert verdict.passed == (who == DANA), verdict.reason
    assert verdict.inputs["found"]["key"] == [
        {"account": f"user:{who}", "rights": ["roles/cloudkms.admin"], "known_as": who}
    ]


def test_a_key_whose_administrators_nobody_is_signed_in_to_read_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOME", str(tmp_path)), ("CLOUDSDK_CONFIG", str(tmp_path)), ("NO_GCE_CHECK", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with closing(listing(environment(tmp_path / "made", clock=HandClock()), key={})) as made:
        enroll(made, tmp_path, DEPLOYS)
        key = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
        made.policy = made.policy.model_copy(update={"record": made.policy.record.model_copy(update={"key": key})})
        verdict = asked(made)

    assert outcome_of(verdict) == (False, "mend")
    assert "who administers the log's key could not be read back" in verdict.reason
    assert "gcloud auth application-default login" in verdict.reason
