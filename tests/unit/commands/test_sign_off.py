"""What people sign after a run: by an enrolled key, in a role that may, about exactly what was read; else nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_deploy.approvals.after_run import Amendment, SignOff, event_hash, sign_statement
from pytest_deploy.cli import app
from pytest_deploy.commands import sign_off as commands
from pytest_deploy.errors import DeployError, Refused, UsageError
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.log import Log
from tests.unit.commands.after import Hall, build, copy
from tests.unit.record.stores import WatchedStore
from tests.unit.verify.test_second_opinion import both

TRAFFIC = "suites/traffic/test_traffic.py::test_it"
BUILD = "suites/build/test_build.py::test_it"
SMOKE = "suites/smoke/test_api.py::test_it"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Hall:
    folder = tmp_path_factory.mktemp("hall")
    (folder / "keys").mkdir()
    return build(folder / "root", folder / "keys")


@pytest.fixture
def hall(built: Hall, tmp_path: Path) -> Hall:
    return copy(built, tmp_path / "root")


def sign_off(hall: Hall, by: str = "quinn", **changes: Any) -> None:
    asked = {"run": hall.deployed, "role": "QA Lead", "meaning": "reviewed", "comment": "", **changes}
    run = asked.pop("run")
    commands.sign_off_run(hall.root, run, key=hall.key(by), say=hall.printed.append, **asked)


def accept(hall: Hall, by: str = "quinn", **changes: Any) -> None:
    asked = {"run": hall.failed, "step": BUILD, "reason": "known", "role": "", **changes}
    run = asked.pop("run")
    commands.accept_step_deviation(hall.root, run, key=hall.key(by), say=hall.printed.append, **asked)


def amend(hall: Hall, by: str = "tina", **changes: Any) -> None:
    asked = {"seq": opened(hall), "field": "reason", "to": "OPS-1", "reason": "typed wrongly", "role": "", **changes}
    seq = asked.pop("seq")
    commands.amend_event(hall.workspace, seq, key=hall.key(by), say=hall.printed.append, **asked)


def thaw(hall: Hall, by: str = "tina", **changes: Any) -> None:
    asked = {"reason": "mended by 1.2.1", "role": "", **changes}
    commands.thaw_environment(hall.workspace, key=hall.key(by), say=hall.printed.append, **asked)


def opened(hall: Hall) -> int:
    return hall.last("run.opened", hall.deployed).seq


SIGN: dict[str, Callable[..., None]] = {"sign-off": sign_off, "accept": accept, "amend": amend, "thaw": thaw}


def refused(hall: Hall, what: Callable[[], None]) -> str:
    """The message of a refusal that wrote nothing."""
    before = {path: path.read_bytes() for path in hall.root.rglob("*") if path.is_file()}
    with pytest.raises(DeployError) as error:
        what()
    assert isinstance(error.value, Refused | UsageError)
    assert before == {path: path.read_bytes() for path in hall.root.rglob("*") if path.is_file()}
    return str(error.value)


# --- permitted


@pytest.mark.parametrize("what", SIGN)
def test_what_is_signed_is_said_first_and_both_verifiers_check_it(hall: Hall, what: str) -> None:
    SIGN[what](hall)

    event = hall.head()
    content = (hall.store / event.data["file"]).read_bytes()
    statement = json.loads(content)
    assert both(hall.store) == (True, "")
    signing = [number for number, line in enumerate(hall.printed) if line.startswith("signing ")]
    assert [len(hall.printed) - 2] == signing, hall.printed
    printed = "\n".join(hall.printed)
    assert all(str(statement[key]) in printed for key in ("meaning", "printed_name", "signer", "role"))
    if "reason" in statement:
        assert f"reason    {statement['reason']}" in printed
    (hall.store / event.data["file"]).write_bytes(content.replace(b"e", b"E", 1))
    assert (False, event.data["file"]) == both(hall.store)


def test_a_sign_off_is_over_the_seal_of_the_run(hall: Hall) -> None:
    sign_off(hall, comment="complete")

    event, closed = hall.head(), hall.last("run.closed", hall.deployed)
    assert closed.data["record_sha256"] == event.data["record_sha256"]
    assert f"signoffs/{hall.deployed}/qa-lead-" in event.data["file"]
    assert tuple(event.data[key] for key in ("meaning", "role", "comment", "signer")) == (
        "reviewed",
        "QA Lead",
        "complete",
        "quinn@example.org",
    )


def test_two_people_and_two_roles_sign_one_run_off(hall: Hall) -> None:
    sign_off(hall)
    sign_off(hall, "both")
    sign_off(hall, "both", role="Tech Lead")

    assert len(list((hall.store / "signoffs" / hall.deployed).glob("*.json"))) == 3
    assert both(hall.store) == (True, "")


def test_an_amendment_tells_old_and_new_and_the_next_one_begins_there(hall: Hall) -> None:
    amend(hall)
    amend(hall, "quinn", to="OPS-2")

    assert (hall.head().data["old"], hall.head().data["new"]) == ("OPS-1", "OPS-2")
    assert [s for s in hall.printed if s[:3] in {"old", "new"}][2:] == ['old       "OPS-1"', 'new       "OPS-2"']
    assert hall.last("run.opened", hall.deployed).data["reason"] is None, "the event stays as it is"
    assert both(hall.store) == (True, "")


@pytest.mark.parametrize(
    "field, to, new",
    [("duration_s", "2.5", 2.5), ("sla_s", "null", None), ("cause", "late", "late")],
)
def test_a_value_is_given_as_text_or_as_json_of_its_kind(hall: Hall, field: str, to: str, new: object) -> None:
    amend(hall, seq=hall.last("run.decided", hall.deployed).seq, field=field, to=to)

    assert new == hall.head().data["new"]
    assert both(hall.store) == (True, "")


def test_a_deviation_is_named_in_words_whether_the_step_failed_or_never_ran(hall: Hall) -> None:
    accept(hall)
    accept(hall, step=SMOKE)

    deviations = [event.data["deviation"] for event in hall.log.events() if event.type == "deviation.accepted"]
    assert deviations == ["failed: no message", "not run: build failed"]
    assert both(hall.store) == (True, "")


def test_the_freeze_gate_passes_once_the_environment_was_released(hall: Hall) -> None:
    assert (hall.freeze_gate()[0], "the build failed twice" in hall.freeze_gate()[1]) == (False, True)

    thaw(hall)

    assert hall.freeze_gate()[0]
    assert hall.head().data["file"].startswith(f"signoffs/environment/thaw-{hall.frozen}-")
    assert hall.head().run == "-"


def test_the_commands_take_what_they_print(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their words, as people type them; a rehearsal's throw-away key is not needed where one is given."""
    monkeypatch.chdir(hall.root)
    key = ["--key", str(hall.key("both"))]
    for words in (
        ["sign-off", hall.deployed, "--role", "QA Lead", "--meaning", "reviewed", *key],
        ["accept-deviation", hall.failed, "--step", BUILD, "--reason", "known", *key],
        [
            "amend",
            "production",
            str(opened(hall)),
            "--field",
            "reason",
            "--to",
            "OPS-1",
            "--reason",
            "x",
            "--rehearse",
            *key,
        ],
        ["thaw", "production", "--reason", "mended", "--rehearse", *key],
    ):
        ran = CliRunner().invoke(app, words)
        assert (0, f"counted by event {hall.head().seq}") == (ran.exit_code, ran.output.strip().rpartition(", ")[2])
    assert both(hall.store) == (True, "")


# --- refused


@pytest.mark.parametrize("what", SIGN)
@pytest.mark.parametrize(
    "by, fault",
    [
        ("stranger", "the roster knows nobody with the key"),
        ("olga", "is not valid for olga@example.org now"),
        ("rita", "is not valid for rita@example.org now"),
    ],
)
def test_a_key_that_is_unknown_expired_or_revoked_signs_nothing(hall: Hall, what: str, by: str, fault: str) -> None:
    assert fault in refused(hall, lambda: SIGN[what](hall, by))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_a_reason_that_would_draw_over_what_is_shown_is_refused(hall: Hall, what: str) -> None:
    assert "cannot be shown" in refused(hall, lambda: SIGN[what](hall, reason="fine\x1b[2Kapproved"))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_a_reason_that_no_event_could_hold_is_refused_before_anything_is_signed(hall: Hall, what: str) -> None:
    """A signed file cannot be taken back from a store that keeps everything."""
    assert "right is 2000 at most" in refused(hall, lambda: SIGN[what](hall, reason="x" * 70_000))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_without_a_reason_nothing_is_signed(hall: Hall, what: str) -> None:
    assert "say --reason" in refused(hall, lambda: SIGN[what](hall, reason=" "))


@pytest.mark.parametrize(
    "by, changes, fault",
    [
        ("ada", {}, "Ada Adeyemi deployed it and cannot sign it off"),
        ("quinn", {"role": "Tech Lead"}, "does not hold the role Tech Lead"),
        ("quinn", {"role": ""}, "say --role"),
        ("quinn", {"meaning": ""}, "say --role, and --meaning"),
        ("quinn", {"run": "open"}, "is not closed (phase.finished was last)"),
        ("quinn", {"run": "rehearsal-production-20200101T000000Z-0000"}, "is not in reports/rehearsal/production"),
        ("quinn", {"run": "local-20200101T000000Z-0000"}, "holds no record"),
        ("quinn", {"run": "yesterday's"}, "is no run"),
    ],
)
def test_a_sign_off_that_would_mean_nothing_is_refused(
    hall: Hall, by: str, changes: dict[str, Any], fault: str
) -> None:
    if changes.get("run") == "open":
        changes = {**changes, "run": hall.open}

    assert fault in refused(hall, lambda: sign_off(hall, by, **changes))


def test_nobody_signs_the_same_twice(hall: Hall) -> None:
    sign_off(hall)
    assert "has signed this already" in refused(hall, lambda: sign_off(hall))
    accept(hall)
    assert "has signed this already" in refused(hall, lambda: accept(hall))


def test_a_record_that_is_not_what_was_sealed_is_not_signed_off(hall: Hall) -> None:
    sums = hall.store / "runs" / hall.deployed / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes() + b"\n")
    assert "do not sign" in refused(hall, lambda: sign_off(hall))

    sums.unlink()
    assert "do not sign" in refused(hall, lambda: sign_off(hall))


def test_where_nobody_knows_who_deployed_nobody_signs_off(hall: Hall) -> None:
    run = hall.deployed
    events = [event for event in hall.log.history() if event.run == run]
    signing = signs(hall, "quinn", "QA Lead")
    stranger = [
        event
        if event.type != "run.opened"
        else type(event)(**{**vars(event), "data": {**event.data, "deployer": "x@y.z"}})
        for event in events
    ]

    with pytest.raises(Refused, match=r"x@y\.z deployed it and is nobody in the roster"):
        signing.refuse_deployer(stranger, "sign it off")


@pytest.mark.parametrize(
    "by, changes, fault",
    [
        ("ada", {}, "Ada Adeyemi deployed it and cannot accept its deviations"),
        ("quinn", {"run": "deployed", "step": TRAFFIC}, "passed: there is no deviation"),
        ("quinn", {"step": "suites/x.py::test_y"}, "has no step"),
        ("quinn", {"run": "open"}, "is not closed"),
        ("quinn", {"role": "Tech Lead"}, "does not hold the role"),
    ],
)
def test_a_deviation_that_is_none_or_ones_own_is_refused(
    hall: Hall, by: str, changes: dict[str, Any], fault: str
) -> None:
    named = {"open": hall.open, "deployed": hall.deployed}
    changes = {**changes, **({"run": named[changes["run"]]} if "run" in changes else {})}

    assert fault in refused(hall, lambda: accept(hall, by, **changes))


@pytest.mark.parametrize(
    "of, changes, fault",
    [
        ("run.opened", {"field": "reasons"}, "has no 'reasons'; it has branch, "),
        ("run.opened", {"field": "version", "to": "1.2.0"}, 'is "1.2.0" already'),
        ("run.opened", {"field": "lock_sha256", "to": "0" * 64}, "is a digest"),
        ("run.opened", {"field": "dirty", "to": "maybe"}, "is no JSON, and dirty of run.opened is no text"),
        ("run.opened", {"field": "dirty", "to": "1"}, "does not fit: run.opened: dirty is 1, not bool"),
        ("run.opened", {"field": "pipeline", "to": "dance"}, "does not fit"),
        ("run.decided", {"field": "outcome", "to": "failed"}, "is what was found, not what somebody stated"),
        ("step.finished", {"field": "outcome", "to": "failed"}, "is what was found, not what somebody stated"),
        ("key.revoked", {"field": "reason"}, "belongs to no run"),
        ("open", {}, "is in progress"),
        ("none", {}, "there is no event 9999"),
        ("run.opened", {"role": "Deployment Manager"}, "does not hold the role"),
    ],
)
def test_an_amendment_of_what_is_not_there_or_not_over_is_refused(
    hall: Hall, of: str, changes: dict[str, Any], fault: str
) -> None:
    seqs = {
        "none": 9999,
        "open": hall.last("run.opened", hall.open).seq,
        "key.revoked": hall.last("key.revoked", "-").seq,
        "run.decided": hall.last("run.decided", hall.deployed).seq,
        "step.finished": hall.last("step.finished", hall.deployed).seq,
    }

    assert fault in refused(hall, lambda: amend(hall, seq=seqs.get(of, opened(hall)), **changes))


def test_what_a_person_signed_is_amended_by_nobody(hall: Hall) -> None:
    sign_off(hall)
    seq = hall.head().seq

    assert "that person signs anew" in refused(hall, lambda: amend(hall, seq=seq, field="meaning", to="approved"))


def test_only_a_frozen_environment_is_released_and_by_the_role_that_policy_names(hall: Hall) -> None:
    assert "Quinn Quist does not hold the role Tech Lead" in refused(hall, lambda: thaw(hall, "quinn"))
    assert "is released by Tech Lead, not by QA Lead" in refused(hall, lambda: thaw(hall, "quinn", role="QA Lead"))
    thaw(hall)
    assert "is not frozen" in refused(hall, lambda: thaw(hall))


def test_what_came_in_between_reading_and_signing_is_looked_at_first(hall: Hall) -> None:
    """While a person types their passphrase another amends the same: the late one would say a wrong old value."""
    store = WatchedStore(hall.store)
    log = Log(store, FileSigner.open(hall.workspace.key_file), hall.log.key.origin, SystemClock())
    signing = signs(hall, "tina", "Tech Lead")

    def somebody_is_faster(name: str) -> None:
        if name.startswith("signoffs/"):
            store.before_create = lambda _: None
            amend(hall, "quinn", to="OPS-7")

    store.before_create = somebody_is_faster
    with pytest.raises(Refused, match=r"event \d+ \(record\.amended\) came in between; look again, then sign"):
        sign_statement(log, amendment(hall, signing, "reason", None), person=signing.person, key=signing.key)

    assert hall.head().data["new"] == "OPS-7"
    assert both(hall.store) == (True, "")


def signs(hall: Hall, by: str, role: str) -> commands.Signing:
    return commands.Signing.of(hall.workspace, role=role, key=hall.key(by))


def amendment(hall: Hall, signing: commands.Signing, key: str, old: object) -> Amendment:
    """Of a value of run.opened, whatever stands there."""
    event = hall.last("run.opened", hall.deployed)
    return Amendment(
        **signing.signer_fields(Amendment.MEANING), run=event.run, amends=event.seq, event_sha256=event_hash(event),
        key=key, old=old, new="9.9.9", reason="x",
    )  # fmt: skip


# --- written by whoever holds the log's key, past the commands


def test_a_release_that_no_tech_lead_signed_lifts_nothing(hall: Hall) -> None:
    """The deployer's pipeline holds the log's key; the freeze gate wants the person's."""
    thaw(hall)
    signed = dict(hall.head().data)
    again = hall.count("environment.frozen", {"reason": "again"}, "-")
    hall.count("environment.released", signed, "-")
    passed, reason = hall.freeze_gate()
    assert (passed, f"it is about another freeze (event {hall.frozen})" in reason) == (False, True)
    assert (False, f"log/{int(again[4:12]) + 1:08d}.event") == both(hall.store)


@pytest.mark.parametrize("fault", ["no file", "another role", "another key"])
def test_a_release_without_the_right_signature_lifts_nothing(hall: Hall, fault: str) -> None:
    thaw(hall, "both")
    event = hall.head()
    path = hall.store / event.data["file"]
    if fault == "no file":
        path.unlink()
    elif fault == "another role":
        path.write_bytes(path.read_bytes().replace(b'"Tech Lead"', b'"QA Lead"'))
    else:
        path.write_bytes(path.read_bytes().replace(b"both@example.org", b"tina@example.org"))

    passed, reason = hall.freeze_gate()

    assert not passed
    assert f"event {event.seq} does not lift it" in reason


@pytest.mark.parametrize(
    "replay",
    [
        "in another run",
        "twice",
        "of another seal",
        "another value",
        "another old value",
        "another event",
        "later event",
    ],
)
def test_both_verifiers_refuse_a_signature_counted_for_what_it_was_not_made_for(hall: Hall, replay: str) -> None:
    (sign_off if replay in {"in another run", "twice", "of another seal"} else amend)(hall)
    event = hall.head()
    data, run = dict(event.data), event.run
    if replay == "in another run":
        run = hall.failed
    elif replay == "of another seal":
        data["record_sha256"] = "0" * 64  # the runs of this hall hold the same report, and so have one seal
    elif replay == "another value":
        data["new"] = "OPS-9"
    elif replay == "another old value":
        data["old"] = "OPS-0"
    elif replay == "another event":
        data["amends"] = data["amends"] + 1
    elif replay == "later event":
        data["amends"] = event.seq + 5
    place = hall.count(event.type, data, run)

    assert not both(hall.store)[0]
    assert both(hall.store)[1] in {place, event.data["file"]}


def test_both_verifiers_refuse_an_amendment_from_a_value_that_never_stood(hall: Hall) -> None:
    """Signed rightly, over a wrong old value: by hand, as the command would not."""
    signing = signs(hall, "tina", "Tech Lead")
    written = sign_statement(
        signing.log, amendment(hall, signing, "version", "0.0.1"), person=signing.person, key=signing.key
    )  # fmt: skip

    assert (False, f"log/{written.seq:08d}.event") == both(hall.store)


def test_both_verifiers_refuse_a_sign_off_over_another_seal_than_the_runs(hall: Hall) -> None:
    """Signed rightly, and counted as it was signed: by hand, as the command would not."""
    signing = signs(hall, "quinn", "QA Lead")
    statement = SignOff(**signing.signer_fields("reviewed"), run=hall.deployed, record_sha256="0" * 64, comment="")

    written = sign_statement(signing.log, statement, person=signing.person, key=signing.key)

    assert (False, f"log/{written.seq:08d}.event") == both(hall.store)


SECRET = "9f-KFDDh3xaTq9zPPw1"


@pytest.mark.parametrize(
    "signs",
    [
        lambda hall: amend(hall, to=SECRET),
        lambda hall: amend(hall, reason=f"it said {SECRET}"),
        lambda hall: sign_off(hall, comment=SECRET),
        lambda hall: accept(hall, reason=SECRET),
        lambda hall: commands.thaw_environment(
            hall.workspace, reason=SECRET, role="", key=hall.key("tina"), say=hall.printed.append
        ),
    ],
    ids=["the new value", "a reason", "a comment", "an accepted deviation", "a thaw"],
)
def test_nobody_signs_a_secret_of_the_environment(hall: Hall, signs: Callable[[Hall], None]) -> None:
    secrets = hall.workspace.state / "secrets" / "rehearsal-production.json"
    secrets.parent.mkdir(exist_ok=True)
    secrets.write_text(json.dumps({"SMOKE_USER": "smoke-1", "SMOKE_PASSWORD": SECRET}))
    with pytest.raises(Refused, match=r"nothing was kept: .* holds a known secret"):
        signs(hall)
    assert [path for path in hall.store.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    assert both(hall.store) == (True, "")


@pytest.mark.parametrize(
    "field, to",
    [
        ("version", "x" * 70_000),
        ("plugins", '{"a":"\\ud800"}'),
        ("plugins", '{"a":NaN}'),
        ("plugins", '{"a":1e400}'),
        ("plugins", "[" * 20_000),
    ],
    ids=["too long", "half a character", "no number", "infinite", "too deep"],
)
def test_a_value_that_no_event_can_hold_is_refused_and_leaves_nothing(hall: Hall, field: str, to: str) -> None:
    before = sorted(hall.store.rglob("*"))
    with pytest.raises(Refused):
        amend(hall, field=field, to=to)
    assert before == sorted(hall.store.rglob("*"))
