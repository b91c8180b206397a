from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.anchors.kinds import AnchorReading, RecordState
from pytest_deploy.gates import anchors
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.policy.storage import Anchors, Copies
from pytest_deploy.record.log_entry import Checkpoint

ORIGIN = "deploy.example.org/production"
REQUIRED = Anchors(required=True, copies=Copies(folder="elsewhere"))
ROOTS = {5: b"5" * 32, 9: b"9" * 32}
HERE = RecordState(ORIGIN, 10, ROOTS, closed=9)


def judged(rule: Anchors, record: RecordState, readings: Sequence[AnchorReading]) -> Verdict:
    return anchors.judge(rule, record, readings, again="pytest-deploy anchor production")


def seen(size: int, root: bytes | None = None, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, ROOTS.get(size, bytes(32)) if root is None else root)


def test_a_record_that_holds_what_every_place_knows_goes_on() -> None:
    verdict = judged(REQUIRED, HERE, [AnchorReading("gs://a", seen(9)), AnchorReading("lines", seen(5))])

    assert verdict.passed
    assert "gs://a (9 events), lines (5 events)" in verdict.reason
    assert verdict.inputs["anchors"][0]["size"] == 9


def test_a_record_shorter_than_an_anchor_is_refused() -> None:
    verdict = judged(REQUIRED, HERE, [AnchorReading("gs://a", seen(9)), AnchorReading("lines", seen(11))])

    assert (verdict.passed, verdict.still_needed) == (False, "mend")
    assert verdict.reason == "lines knows 11 events, 10 are here: the record was cut"


def test_a_record_with_another_root_is_refused() -> None:
    assert "saw another root at 9 events: the record was rewritten" in judged(
        REQUIRED, HERE, [AnchorReading("gs://a", seen(9, bytes(32)))]
    ).reason  # fmt: skip


def test_an_anchor_of_another_record_is_refused() -> None:
    verdict = judged(REQUIRED, HERE, [AnchorReading("gs://a", seen(9, origin="deploy.example.org/staging"))])

    assert "knows a record deploy.example.org/staging, this is deploy.example.org/production" in verdict.reason


def test_a_place_that_cannot_be_read_blocks_with_its_own_cause() -> None:
    verdict = judged(REQUIRED, HERE, [AnchorReading("gs://a", None, "no answer"), AnchorReading("lines", seen(9))])

    assert not verdict.passed
    assert verdict.reason == "gs://a could not be read back: no answer"


def test_what_contradicts_is_said_before_what_is_silent() -> None:
    verdict = judged(REQUIRED, HERE, [AnchorReading("gs://a", None, "no answer"), AnchorReading("lines", seen(12))])

    assert "the record was cut" in verdict.reason


def test_required_means_that_an_anchor_covers_every_closed_run() -> None:
    none = judged(REQUIRED, HERE, [AnchorReading("gs://a", None)])
    early = judged(REQUIRED, HERE, [AnchorReading("gs://a", seen(5))])

    assert (none.passed, early.passed) == (False, False)
    assert "no anchor of it can be read back" in none.reason
    assert "no anchor knows more than 5 events" in early.reason
    assert early.remedy == "make them now: `pytest-deploy anchor production`"
    assert judged(Anchors(copies=REQUIRED.copies), HERE, [AnchorReading("gs://a", seen(5))]).passed


def test_lines_beside_the_record_are_compared_and_are_not_enough() -> None:
    """Whoever can cut the one can cut the other."""
    alone = judged(REQUIRED, HERE, [AnchorReading("lines", seen(9), covers=False), AnchorReading("gs://a", None)])
    with_another = judged(
        REQUIRED, HERE, [AnchorReading("lines", seen(9), covers=False), AnchorReading("gs://a", seen(9))]
    )
    contradicted = judged(
        REQUIRED, HERE, [AnchorReading("lines", seen(12), covers=False), AnchorReading("gs://a", seen(9))]
    )

    assert (alone.passed, with_another.passed, contradicted.passed) == (False, True, False)
    assert "no anchor of it can be read back" in alone.reason
    assert "the record was cut" in contradicted.reason


def test_a_record_that_closed_no_run_has_nothing_to_anchor() -> None:
    young = RecordState(ORIGIN, 3, {}, closed=0)

    assert judged(REQUIRED, young, [AnchorReading("gs://a", None)]).result == "not-applicable"
    assert "the record was cut" in judged(REQUIRED, young, [AnchorReading("gs://a", seen(9))]).reason


def test_where_policy_names_no_anchor_none_is_asked_for() -> None:
    assert judged(Anchors(), HERE, []).reason == "not in this environment's policy"
