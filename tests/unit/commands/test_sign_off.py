"""What people sign after a run: by an enrolled key, in a role that may, about exactly what was read; else nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_deploy.approvals.after_run import Amendment, Countersignature, SignOff, event_hash, sign_statement
from pytest_deploy.cli import app
from pytest_deploy.commands import amend as amending
from pytest_deploy.commands import sign_off as commands
from pytest_deploy.commands.history import show
from pytest_deploy.errors import DeployError, Refused, UsageError
from pytest_deploy.history.runs import Row
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.log import Log
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.commands.typed import typed
from tests.unit.record.faulty_stores import WatchedStore
from tests.unit.verify.second_verifier import both

TRAFFIC = "suites/traffic/test_traffic.py::test_it"
BUILD = "suites/build/test_build.py::test_it"
SMOKE = "suites/smoke/test_api.py::test_it"


def sign_off(finished: FinishedRuns, by: str = "quinn", **changes: Any) -> None:
    asked = {"run": finished.deployed, "role": "QA Lead", "meaning": "reviewed", "comment": "", **changes}
    run = asked.pop("run")
    typed(finished.root, commands.sign_off, run, printed=finished.printed, key=finished.key(by), **asked)


def accept(finished: FinishedRuns, by: str = "quinn", **changes: Any) -> None:
    asked = {"run": finished.failed, "step": BUILD, "reason": "known", "role": "", **changes}
    run = asked.pop("run")
    typed(finished.root, commands.accept_deviation, run, printed=finished.printed, key=finished.key(by), **asked)


def amend(finished: FinishedRuns, by: str = "tina", **changes: Any) -> None:
    """One person's part of an amendment: it takes two."""
    asked = {
        "seq": opened(finished),
        "field": "reason",
        "to": "OPS-1",
        "reason": "typed wrongly",
        "role": "",
        **changes,
    }
    typed(
        finished.root, amending.amend, "production", printed=finished.printed, key=finished.key(by), rehearse=True, **asked
    )  # fmt: skip


def annotate(finished: FinishedRuns, by: str = "tina", **changes: Any) -> None:
    asked = {"seq": opened(finished), "field": "commit", "note": "the tag was moved later", "role": "", **changes}
    typed(
        finished.root, amending.annotate, "production", printed=finished.printed, key=finished.key(by), rehearse=True, **asked
    )  # fmt: skip


def thaw(finished: FinishedRuns, by: str = "tina", **changes: Any) -> None:
    asked = {"reason": "mended by 1.2.1", "role": "", **changes}
    typed(
        finished.root, commands.thaw, "production", printed=finished.printed, key=finished.key(by), rehearse=True, **asked
    )  # fmt: skip


def opened(finished: FinishedRuns) -> int:
    return finished.last("run.opened", finished.deployed).seq


SIGN: dict[str, Callable[..., None]] = {
    "sign-off": sign_off,
    "accept": accept,
    "amend": amend,
    "annotate": annotate,
    "thaw": thaw,
}


def refused(finished: FinishedRuns, what: Callable[[], None]) -> str:
    """The message of a refusal that wrote nothing."""
    before = {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}
    with pytest.raises(DeployError) as error:
        what()
    assert isinstance(error.value, Refused | UsageError)
    assert before == {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}
    return str(error.value)


# --- permitted


@pytest.mark.parametrize("what", SIGN)
def test_what_is_signed_is_said_first_and_both_verifiers_check_it(finished: FinishedRuns, what: str) -> None:
    SIGN[what](finished)

    event = finished.head()
    content = (finished.store / event.data["file"]).read_bytes()
    statement = json.loads(content)
    assert both(finished.store) == (True, "")
    signing = [number for number, line in enumerate(finished.printed) if line.startswith("signing ")]
    assert [len(finished.printed) - 2] == signing, finished.printed
    printed = "\n".join(finished.printed)
    assert all(str(statement[key]) in printed for key in ("meaning", "printed_name", "signer", "role"))
    if "reason" in statement:
        assert f"reason    {statement['reason']}" in printed
    (finished.store / event.data["file"]).write_bytes(content.replace(b"e", b"E", 1))
    assert (False, event.data["file"]) == both(finished.store)


RUN = ["run", "release", "deployer", "outcome", "record"]


@pytest.mark.parametrize(
    "what, says, shown",
    [
        ("sign-off", {"comment": ""}, RUN),
        ("sign-off", {"comment": "complete"}, [*RUN, "comment"]),
        ("accept", {}, [*RUN, "step", "deviation", "reason"]),
        ("amend", {}, ["event", "amends", "old", "new", "reason", "counts"]),
        ("annotate", {}, ["event", "beside", "note"]),
        ("thaw", {}, ["frozen", "because", "reason"]),
    ],
)
def test_what_it_is_about_is_shown_before_it_is_signed(
    finished: FinishedRuns, what: str, says: dict[str, str], shown: list[str]
) -> None:
    SIGN[what](finished, **says)

    assert [line.split()[0] for line in finished.printed[:-2]] == shown


def test_a_second_person_is_shown_whose_amendment_they_confirm(finished: FinishedRuns) -> None:
    amend(finished)
    first = finished.head().seq
    finished.printed.clear()

    amend(finished, "quinn", role="QA Lead")

    assert f"confirms  event {first}, signed by tina@example.org: typed wrongly" in finished.printed[:-2]


def test_a_sign_off_is_over_the_seal_of_the_run(finished: FinishedRuns) -> None:
    sign_off(finished, comment="complete")

    event, closed = finished.head(), finished.last("run.closed", finished.deployed)
    assert closed.data["record_sha256"] == event.data["record_sha256"]
    assert f"signoffs/{finished.deployed}/qa-lead-" in event.data["file"]
    assert tuple(event.data[key] for key in ("meaning", "role", "comment", "signer")) == (
        "reviewed",
        "QA Lead",
        "complete",
        "quinn@example.org",
    )


def test_a_run_that_is_signed_off_as_rejected_says_so_with_what_was_found(finished: FinishedRuns) -> None:
    sign_off(finished, meaning="rejected", comment="OQ-7 was not executed")

    event = finished.head()
    assert (event.data["meaning"], event.data["comment"]) == ("rejected", "OQ-7 was not executed")
    assert both(finished.store) == (True, "")
    (said,) = [line for line in typed(finished.root, show, finished.deployed) if "signed off" in line]
    assert ": rejected; OQ-7 was not executed" in said


def test_two_people_and_two_roles_sign_one_run_off(finished: FinishedRuns) -> None:
    sign_off(finished)
    sign_off(finished, "both")
    sign_off(finished, "both", role="Tech Lead")

    assert len(list((finished.store / "signoffs" / finished.deployed).glob("*.json"))) == 3
    assert both(finished.store) == (True, "")


def test_an_amendment_tells_old_and_new_and_the_next_one_begins_there(finished: FinishedRuns) -> None:
    for by in ("tina", "quinn"):
        amend(finished, by)
    amend(finished, "quinn", to="OPS-2")

    assert (finished.head().data["old"], finished.head().data["new"]) == ("OPS-1", "OPS-2")
    assert [s for s in finished.printed if s[:3] in {"old", "new"}][4:] == ['old       "OPS-1"', 'new       "OPS-2"']
    assert finished.last("run.opened", finished.deployed).data["reason"] is None, "the event stays as it is"
    assert both(finished.store) == (True, "")


def test_an_amendment_counts_once_a_second_person_signed_the_same(finished: FinishedRuns) -> None:
    def row() -> tuple[str, ...]:
        return Row.of(event for event in finished.log.history() if event.run == finished.deployed).amended

    amend(finished)
    first = finished.head().seq
    assert row() == ()
    assert "signed this already" in refused(finished, lambda: amend(finished))
    amend(finished, "quinn", to="OPS-2")
    assert row() == (), "another value confirms nothing"
    amend(finished, "quinn")
    assert row() == ("reason",)
    assert finished.head().data["countersigns"] == first
    assert both(finished.store) == (True, "")


@pytest.mark.parametrize("field", ["deployer", "commit", "dirty", "plugins", "config_sha256", "environment"])
def test_what_was_observed_is_amended_by_nobody_and_can_bear_a_note(finished: FinishedRuns, field: str) -> None:
    said = refused(finished, lambda: amend(finished, field=field, to="another"))
    assert f"{field} of event {opened(finished)} (run.opened) was observed" in said
    assert "stated in it: reason" in said

    before = finished.last("run.opened", finished.deployed)
    annotate(finished, field=field)
    assert finished.last("run.opened", finished.deployed) == before
    assert both(finished.store) == (True, "")


@pytest.mark.parametrize(
    "of,field", [("run.decided", "outcome"), ("run.decided", "duration_s"), ("step.finished", "actual")]
)
def test_what_steps_and_runs_came_to_is_amended_by_nobody(finished: FinishedRuns, of: str, field: str) -> None:
    seq = finished.last(of, finished.deployed).seq
    assert "was observed" in refused(finished, lambda: amend(finished, seq=seq, field=field, to="passed"))


def test_whoever_deployed_or_stated_it_amends_nothing(finished: FinishedRuns) -> None:
    assert "Ada Adeyemi deployed" in refused(finished, lambda: amend(finished, "ada"))
    amend(finished)
    assert "Ada Adeyemi deployed" in refused(finished, lambda: amend(finished, "ada")), "nor confirms it"


def test_a_deviation_is_named_in_words_whether_the_step_failed_or_never_ran(finished: FinishedRuns) -> None:
    accept(finished)
    accept(finished, step=SMOKE)

    deviations = [event.data["deviation"] for event in finished.log.events() if event.type == "deviation.accepted"]
    assert deviations == ["failed: no message", "not run: build failed"]
    assert both(finished.store) == (True, "")


def test_the_freeze_gate_passes_once_the_environment_was_released(finished: FinishedRuns) -> None:
    assert (finished.freeze_gate()[0], "the build failed twice" in finished.freeze_gate()[1]) == (False, True)

    thaw(finished)

    assert finished.freeze_gate()[0]
    assert finished.head().data["file"].startswith(f"signoffs/environment/thaw-{finished.frozen}-")
    assert finished.head().run == "-"


def test_the_commands_take_what_they_print(finished: FinishedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their words, as people type them; a rehearsal's throw-away key is not needed where one is given."""
    monkeypatch.chdir(finished.root)
    key = ["--key", str(finished.key("both"))]
    for words in (
        ["sign-off", finished.deployed, "--role", "QA Lead", "--meaning", "reviewed", *key],
        ["accept-deviation", finished.failed, "--step", BUILD, "--reason", "known", *key],
        [
            "amend",
            "production",
            str(opened(finished)),
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
        ran = CliRunner().invoke(app, [*words, "--yes"])
        assert (0, f"counted by event {finished.head().seq}") == (ran.exit_code, ran.output.strip().rpartition(", ")[2])
    assert both(finished.store) == (True, "")


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
def test_a_key_that_is_unknown_expired_or_revoked_signs_nothing(
    finished: FinishedRuns, what: str, by: str, fault: str
) -> None:
    assert fault in refused(finished, lambda: SIGN[what](finished, by))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_a_reason_that_would_draw_over_what_is_shown_is_refused(finished: FinishedRuns, what: str) -> None:
    assert "cannot be shown" in refused(finished, lambda: SIGN[what](finished, reason="fine\x1b[2Kapproved"))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_a_reason_that_no_event_could_hold_is_refused_before_anything_is_signed(
    finished: FinishedRuns, what: str
) -> None:
    """A signed file cannot be taken back from a store that keeps everything."""
    assert "right is 2000 at most" in refused(finished, lambda: SIGN[what](finished, reason="x" * 70_000))


@pytest.mark.parametrize("what", ["accept", "amend", "thaw"])
def test_without_a_reason_nothing_is_signed(finished: FinishedRuns, what: str) -> None:
    assert "say --reason" in refused(finished, lambda: SIGN[what](finished, reason=" "))


@pytest.mark.parametrize(
    "by, changes, fault",
    [
        ("ada", {}, "Ada Adeyemi deployed it and cannot sign it off"),
        ("quinn", {"role": "Tech Lead"}, "does not hold the role Tech Lead"),
        ("quinn", {"role": ""}, "say --role"),
        ("quinn", {"meaning": ""}, "say --role, and --meaning"),
        (
            "quinn",
            {"meaning": "REJECTED: not fit"},
            "right is reviewed or rejected; what you found belongs into --comment",
        ),
        ("quinn", {"meaning": "Reviewed"}, "right is reviewed or rejected"),
        ("quinn", {"meaning": "rejected"}, "say in --comment what was found"),
        ("quinn", {"meaning": "rejected", "comment": "…"}, "say in --comment what was found"),
        ("quinn", {"run": "open"}, "is not closed (phase.finished was last)"),
        ("quinn", {"run": "rehearsal-production-20200101T000000Z-0000"}, "is not in reports/rehearsal/production"),
        ("quinn", {"run": "local-20200101T000000Z-0000"}, "holds no record"),
        ("quinn", {"run": "yesterday's"}, "is no run"),
    ],
)
def test_a_sign_off_that_would_mean_nothing_is_refused(
    finished: FinishedRuns, by: str, changes: dict[str, Any], fault: str
) -> None:
    if changes.get("run") == "open":
        changes = {**changes, "run": finished.open}

    assert fault in refused(finished, lambda: sign_off(finished, by, **changes))


def test_nobody_signs_the_same_twice(finished: FinishedRuns) -> None:
    sign_off(finished)
    assert "has signed this already" in refused(finished, lambda: sign_off(finished))
    accept(finished)
    assert "has signed this already" in refused(finished, lambda: accept(finished))


def test_a_record_that_is_not_what_was_sealed_is_not_signed_off(finished: FinishedRuns) -> None:
    sums = finished.store / "runs" / finished.deployed / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes() + b"\n")
    assert "do not sign" in refused(finished, lambda: sign_off(finished))

    sums.unlink()
    assert "do not sign" in refused(finished, lambda: sign_off(finished))


def test_where_nobody_knows_who_deployed_nobody_signs_off(finished: FinishedRuns) -> None:
    run = finished.deployed
    events = [event for event in finished.log.history() if event.run == run]
    signing = signs(finished, "quinn", "QA Lead")
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
    finished: FinishedRuns, by: str, changes: dict[str, Any], fault: str
) -> None:
    named = {"open": finished.open, "deployed": finished.deployed}
    changes = {**changes, **({"run": named[changes["run"]]} if "run" in changes else {})}

    assert fault in refused(finished, lambda: accept(finished, by, **changes))


@pytest.mark.parametrize(
    "of, changes, fault",
    [
        ("run.opened", {"field": "reasons"}, "has no 'reasons'; it has branch, "),
        ("key.revoked", {"field": "reason"}, "belongs to no run"),
        ("open", {}, "is in progress"),
        ("none", {}, "there is no event 9999"),
        ("run.opened", {"role": "Deployment Manager"}, "does not hold the role"),
    ],
)
def test_an_amendment_of_what_is_not_there_or_not_over_is_refused(
    finished: FinishedRuns, of: str, changes: dict[str, Any], fault: str
) -> None:
    seqs = {
        "none": 9999,
        "open": finished.last("run.opened", finished.open).seq,
        "key.revoked": finished.last("key.revoked", "-").seq,
    }

    assert fault in refused(finished, lambda: amend(finished, seq=seqs.get(of, opened(finished)), **changes))


def test_what_a_person_signed_is_amended_by_nobody(finished: FinishedRuns) -> None:
    sign_off(finished)
    seq = finished.head().seq

    assert "that person signs anew" in refused(
        finished, lambda: amend(finished, seq=seq, field="meaning", to="approved")
    )


def test_only_a_frozen_environment_is_released_and_by_the_role_that_policy_names(finished: FinishedRuns) -> None:
    assert "Quinn Quist does not hold the role Tech Lead" in refused(finished, lambda: thaw(finished, "quinn"))
    assert "is released by Tech Lead, not by QA Lead" in refused(
        finished, lambda: thaw(finished, "quinn", role="QA Lead")
    )
    thaw(finished)
    assert "is not frozen" in refused(finished, lambda: thaw(finished))


def test_what_came_in_between_reading_and_signing_is_looked_at_first(finished: FinishedRuns) -> None:
    """While a person types their passphrase another amends the same: the late one would say a wrong old value."""
    store = WatchedStore(finished.store)
    log = Log(store, FileSigner.open(finished.workspace.key_file), finished.log.key.origin, SystemClock())
    signing = signs(finished, "tina", "Tech Lead")

    def somebody_is_faster(name: str) -> None:
        if name.startswith("signoffs/"):
            store.before_create = lambda _: None
            amend(finished, "quinn", to="OPS-7")

    store.before_create = somebody_is_faster
    with pytest.raises(Refused, match=r"event \d+ \(record\.amended\) came in between; look again, then sign"):
        sign_statement(log, amendment(finished, signing, "reason", None), person=signing.person, key=signing.key)

    assert finished.head().data["new"] == "OPS-7"
    assert both(finished.store) == (True, "")


def signs(finished: FinishedRuns, by: str, role: str) -> commands.Signing:
    return commands.Signing.of(finished.workspace, role=role, key=finished.key(by))


def amendment(finished: FinishedRuns, signing: commands.Signing, key: str, old: object) -> Amendment:
    """Of a value of run.opened, whatever stands there."""
    event = finished.last("run.opened", finished.deployed)
    return Amendment(
        **signing.signer_fields(Amendment.MEANING), run=event.run, amends=event.seq, event_sha256=event_hash(event),
        key=key, old=old, new="9.9.9", reason="x",
    )  # fmt: skip


# --- written by whoever holds the log's key, past the commands


def test_a_release_that_no_tech_lead_signed_lifts_nothing(finished: FinishedRuns) -> None:
    """The deployer's pipeline holds the log's key; the freeze gate wants the person's."""
    thaw(finished)
    signed = dict(finished.head().data)
    again = finished.count("environment.frozen", {"reason": "again"}, "-")
    finished.count("environment.released", signed, "-")
    passed, reason = finished.freeze_gate()
    assert (passed, f"it is about another freeze (event {finished.frozen})" in reason) == (False, True)
    assert (False, f"log/{int(again[4:12]) + 1:08d}.event") == both(finished.store)


@pytest.mark.parametrize("fault", ["no file", "another role", "another key"])
def test_a_release_without_the_right_signature_lifts_nothing(finished: FinishedRuns, fault: str) -> None:
    thaw(finished, "both")
    event = finished.head()
    path = finished.store / event.data["file"]
    if fault == "no file":
        path.unlink()
    elif fault == "another role":
        path.write_bytes(path.read_bytes().replace(b'"Tech Lead"', b'"QA Lead"'))
    else:
        path.write_bytes(path.read_bytes().replace(b"both@example.org", b"tina@example.org"))

    passed, reason = finished.freeze_gate()

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
def test_both_verifiers_refuse_a_signature_counted_for_what_it_was_not_made_for(
    finished: FinishedRuns, replay: str
) -> None:
    (sign_off if replay in {"in another run", "twice", "of another seal"} else amend)(finished)
    event = finished.head()
    data, run = dict(event.data), event.run
    if replay == "in another run":
        run = finished.failed
    elif replay == "of another seal":
        data["record_sha256"] = "0" * 64  # the runs of this record hold the same report, and so have one seal
    elif replay == "another value":
        data["new"] = "OPS-9"
    elif replay == "another old value":
        data["old"] = "OPS-0"
    elif replay == "another event":
        data["amends"] = data["amends"] + 1
    elif replay == "later event":
        data["amends"] = event.seq + 5
    place = finished.count(event.type, data, run)

    assert not both(finished.store)[0]
    assert both(finished.store)[1] in {place, event.data["file"]}


def test_both_verifiers_refuse_an_amendment_from_a_value_that_never_stood(finished: FinishedRuns) -> None:
    """Signed rightly, over a wrong old value: by hand, as the command would not."""
    signing = signs(finished, "tina", "Tech Lead")
    written = sign_statement(
        signing.log, amendment(finished, signing, "version", "0.0.1"), person=signing.person, key=signing.key
    )  # fmt: skip

    assert (False, f"log/{written.seq:08d}.event") == both(finished.store)


@pytest.mark.parametrize(
    "of", ["observed", "the deployer", "confirms oneself", "confirms another value", "confirms nothing"]
)
def test_both_verifiers_refuse_an_amendment_that_may_not_be(finished: FinishedRuns, of: str) -> None:
    """Each signed rightly, by hand, as the command would not."""
    signing = signs(finished, "ada" if of == "the deployer" else "tina", "Tech Lead")
    if of == "confirms another value":
        amend(finished, "quinn", to="OPS-2")
    elif of == "confirms oneself":
        amend(finished, to="9.9.9")
    key, old = ("version", "1.2.0") if of == "observed" else ("reason", None)
    statement = amendment(finished, signing, key, old)
    if of.startswith("confirms"):
        first = opened(finished) if of == "confirms nothing" else finished.head().seq
        statement = Countersignature(**asdict(statement), countersigns=first)
    written = sign_statement(signing.log, statement, person=signing.person, key=signing.key)

    assert (False, f"log/{written.seq:08d}.event") == both(finished.store)


def test_both_verifiers_refuse_a_sign_off_over_another_seal_than_the_runs(finished: FinishedRuns) -> None:
    """Signed rightly, and counted as it was signed: by hand, as the command would not."""
    signing = signs(finished, "quinn", "QA Lead")
    statement = SignOff(**signing.signer_fields("reviewed"), run=finished.deployed, record_sha256="0" * 64, comment="")

    written = sign_statement(signing.log, statement, person=signing.person, key=signing.key)

    assert (False, f"log/{written.seq:08d}.event") == both(finished.store)


SECRET = "9f-KFDDh3xaTq9zPPw1"


@pytest.mark.parametrize(
    "signs",
    [
        lambda finished: amend(finished, to=SECRET),
        lambda finished: amend(finished, reason=f"it said {SECRET}"),
        lambda finished: sign_off(finished, comment=SECRET),
        lambda finished: accept(finished, reason=SECRET),
        lambda finished: thaw(finished, reason=SECRET),
    ],
    ids=["the new value", "a reason", "a comment", "an accepted deviation", "a thaw"],
)
def test_nobody_signs_a_secret_of_the_environment(
    finished: FinishedRuns, signs: Callable[[FinishedRuns], None]
) -> None:
    secrets = finished.workspace.state / "secrets" / "rehearsal-production.json"
    secrets.parent.mkdir(exist_ok=True)
    secrets.write_text(json.dumps({"SMOKE_USER": "smoke-1", "SMOKE_PASSWORD": SECRET}))
    with pytest.raises(Refused, match=r"nothing was kept: .* holds a known secret"):
        signs(finished)
    assert [path for path in finished.store.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    assert both(finished.store) == (True, "")


@pytest.mark.parametrize("to", ["x" * 70_000, "half \ud800"], ids=["too long", "half a character"])
def test_a_value_that_no_event_can_hold_is_refused_and_leaves_nothing(finished: FinishedRuns, to: str) -> None:
    before = sorted(finished.store.rglob("*"))
    with pytest.raises((Refused, UsageError)):
        amend(finished, to=to)
    assert before == sorted(finished.store.rglob("*"))
