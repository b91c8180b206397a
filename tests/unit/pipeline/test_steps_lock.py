"""steps.lock: what it accepts, what it refuses, and that writing it is no surprise."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import CollectionRefused
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import Step, title_of
from pytest_deploy.policy.replaced_steps import ReplacedStep


def step(name: str, phase: str = "smoke", *, changes: bool = False, file: str = "test_a") -> Step:
    when = "rollback" if phase == "rollback" else "always"
    return Step(f"suites/{phase}/{file}.py::{name}", phase, when, changes)  # type: ignore[arg-type] # mypy widens the literal


BUILD, ONE, TWO = step("test_b", "build"), step("test_one"), step("test_two")


def test_a_written_lock_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "steps.lock"

    written = steps_lock.write(path, [BUILD, ONE, TWO])

    assert (BUILD, ONE, TWO) == written == steps_lock.read(path)


def test_writing_again_keeps_the_places_of_known_steps(tmp_path: Path) -> None:
    path = tmp_path / "steps.lock"
    first, second, new = step("t", file="test_z"), step("t", file="test_a"), step("t", file="test_b")
    steps_lock.write(path, [first, second])

    assert (first, second, new) == steps_lock.write(path, [second, new, first])


LEADS_BACK = step("test_led_back", "rollback", changes=True, file="test_restore")
ASKS = step("test_schema", "rollback", file="test_restore")
AGAIN = Step("suites/smoke/test_a.py::test_one[rollback]", "rollback", "earlier", changes=False)
OWN_WAY_BACK = step("test_own", "rollback", changes=True, file="test_own")


@pytest.mark.parametrize("known", [[], [LEADS_BACK, ASKS, AGAIN]], ids=["with the first lock", "added later"])
def test_what_leads_back_stands_before_what_asks_whether_it_did(tmp_path: Path, known: list[Step]) -> None:
    path = tmp_path / "steps.lock"
    if known:
        steps_lock.write(path, known)

    written = steps_lock.write(path, [AGAIN, LEADS_BACK, ASKS, OWN_WAY_BACK])

    assert written == (LEADS_BACK, OWN_WAY_BACK, ASKS, AGAIN)


def test_steps_of_a_file_that_asks_and_then_leads_back_keep_its_order(tmp_path: Path) -> None:
    asks, leads = step("test_ask", "rollback"), step("test_lead", "rollback", changes=True)

    written = steps_lock.write(tmp_path / "steps.lock", [asks, leads])

    assert written == (asks, leads)
    steps_lock.compare(written, [asks, leads])


@pytest.mark.parametrize("later", [False, True], ids=["with the first lock", "added later"])
def test_a_service_is_given_rights_after_an_own_step_has_moved_the_schema(tmp_path: Path, *, later: bool) -> None:
    path = tmp_path / "steps.lock"
    moves = step("test_moves", "migration", changes=True)
    rights = Step("pytest_deploy/suites/migration/test_service.py::test_rights", "migration", "always", changes=True)
    if later:
        steps_lock.write(path, [rights])

    assert steps_lock.write(path, [moves, rights]) == (moves, rights)


def test_phases_stand_in_the_pipelines_order_not_the_alphabets(tmp_path: Path) -> None:
    steps = [step("t", phase) for phase in ("traffic", "smoke", "build", "backup")]

    assert [s.phase for s in steps_lock.write(tmp_path / "steps.lock", steps)] == [
        "build",
        "backup",
        "smoke",
        "traffic",
    ]


@pytest.mark.parametrize(
    "collected, fault",
    [
        ([BUILD, ONE], "in the lock, but not collected"),
        ([BUILD, ONE, TWO, step("test_three")], "collected, but not in the lock"),
        ([BUILD, ONE, TWO, TWO], "collected 2 times"),
        ([BUILD, TWO, ONE], "out of order: place 1 of its file is test_two"),
        ([BUILD, ONE, step("test_two", changes=True)], "changes is True and was False"),
    ],
    ids=["missing", "extra", "doubled", "out of order", "changed"],
)
def test_a_collection_that_is_not_the_locks_is_refused(collected: list[Step], fault: str) -> None:
    with pytest.raises(CollectionRefused, match=fault):
        steps_lock.compare([BUILD, ONE, TWO], collected)


def test_the_locks_own_collection_is_accepted_whatever_order_its_files_come_in() -> None:
    other = step("test_c", file="test_c")

    steps_lock.compare([BUILD, ONE, TWO, other], [other, BUILD, ONE, TWO])


def test_every_fault_of_a_collection_is_named_at_once() -> None:
    with pytest.raises(CollectionRefused) as refused:
        steps_lock.compare([BUILD, ONE, TWO], [ONE, step("test_three")])

    assert {BUILD.nodeid, TWO.nodeid, step("test_three").nodeid} == {fault.key for fault in refused.value.faults}


@pytest.mark.parametrize(
    "line, fault",
    [
        ("smoke always", "not a step"),
        ("smoke always - suites/smoke/test_a.py::t\nsmoke always - suites/smoke/test_a.py::t", "listed more than once"),
        ("nophase always - suites/smoke/test_a.py::t", "not a step"),
        ("smoke sometimes - suites/smoke/test_a.py::t", "not a step"),
        ("smoke always - suites/smoke/a.py::t\nbuild always - suites/build/a.py::t", "phase build stands after smoke"),
    ],
    ids=["short", "doubled", "phase", "when", "order"],
)
def test_a_faulty_lock_is_refused_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "steps.lock"
    path.write_text(line)

    with pytest.raises(CollectionRefused, match=fault):
        steps_lock.read(path)


def test_a_missing_lock_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CollectionRefused, match="steps --write"):
        steps_lock.read(tmp_path / "steps.lock")


def test_the_digest_is_of_the_node_ids_one_a_line() -> None:
    import hashlib

    assert hashlib.sha256(f"{BUILD.nodeid}\n{ONE.nodeid}\n".encode()).hexdigest() == steps_lock.digest([BUILD, ONE])


@given(st.permutations([ONE, TWO, step("t", file="test_c"), step("u", file="test_c"), BUILD]))
def test_write_then_compare_always_agrees(collected: list[Step]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = steps_lock.write(Path(folder) / "steps.lock", collected)

    steps_lock.compare(written, collected)


def test_a_title_is_the_claim_in_words() -> None:
    assert title_of("suites/smoke/test_api.py::test_health_answers_200") == "health answers 200"
    assert title_of("suites/smoke/test_api.py::test_health_answers[de-x]") == "health answers [de-x]"


# --- standard steps

IN_TIME = Step(
    "pytest_deploy/suites/smoke/test_database.py::test_query_answers_in_time", "smoke", "always", changes=False
)
OWN, BEFORE = step("test_pool_answers_in_time"), step("test_before", "preflight")
REPLACED = {IN_TIME.nodeid: ReplacedStep(by=OWN.nodeid, reason="connections come from a pool")}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """One that lists a standard step and an own one of smoke."""
    path = tmp_path / "suites" / "steps.lock"
    path.parent.mkdir()
    steps_lock.write(path, [BEFORE, IN_TIME, OWN])
    return path


def test_a_lock_of_standard_steps_names_their_version_and_one_without_them_does_not(lock: Path) -> None:
    assert re.search(
        rf"^standard-steps {re.escape(version('pytest-deploy'))} [0-9a-f]{{64}}$", lock.read_text(), re.MULTILINE
    )
    steps_lock.write(lock, [BEFORE, OWN])
    assert "standard-steps" not in lock.read_text()


def test_standard_steps_of_the_locked_version_are_taken(lock: Path) -> None:
    assert steps_lock.accept(lock, "smoke", [BEFORE, IN_TIME, OWN]) == (BEFORE, IN_TIME, OWN)


@pytest.mark.parametrize("line, found", [("standard-steps 0.0.9\n", "0.0.9"), ("", "none")])
def test_standard_steps_of_another_version_than_the_lock_s_are_refused(lock: Path, line: str, found: str) -> None:
    installed = version("pytest-deploy")
    lock.write_text(re.sub(r"standard-steps .*\n", line, lock.read_text()))

    with pytest.raises(CollectionRefused, match=f"version {found} is locked, {installed} is installed"):
        steps_lock.accept(lock, "smoke", [BEFORE, IN_TIME, OWN])


def test_standard_steps_of_other_content_than_the_lock_s_are_refused(lock: Path) -> None:
    lock.write_text(re.sub(r"(standard-steps \S+) .*", rf"\1 {'0' * 64}", lock.read_text()))

    with pytest.raises(CollectionRefused, match="their files are not those that the lock was written for"):
        steps_lock.accept(lock, "smoke", [BEFORE, IN_TIME, OWN])


def test_a_replaced_step_is_left_out_and_the_one_in_its_place_runs(lock: Path) -> None:
    assert steps_lock.accept(lock, "smoke", [BEFORE, IN_TIME, OWN], REPLACED) == (BEFORE, OWN)


@pytest.mark.parametrize(
    "nodeid, by, fault",
    [
        ("pytest_deploy/suites/smoke/test_x.py::test_y", OWN.nodeid, "there is no such standard step"),
        (IN_TIME.nodeid, "suites/smoke/test_a.py::test_nowhere", "is not collected there"),
        (IN_TIME.nodeid, BEFORE.nodeid, "is not collected there"),
    ],
    ids=["no such step", "nothing in its place", "a step of another phase in its place"],
)
def test_a_step_that_cannot_be_replaced_so_is_refused(lock: Path, nodeid: str, by: str, fault: str) -> None:
    replaced = {nodeid: ReplacedStep(by=by, reason="connections come from a pool")}

    with pytest.raises(CollectionRefused, match=fault):
        steps_lock.accept(lock, "smoke", [BEFORE, IN_TIME, OWN], replaced)


def test_steps_of_a_file_have_an_order_in_each_phase_that_they_run_in(tmp_path: Path) -> None:
    again = [Step(f"{one.nodeid}[rollback]", "rollback", "earlier", changes=False) for one in (ONE, TWO)]
    written = steps_lock.write(tmp_path / "steps.lock", [ONE, again[0], TWO, again[1]])

    steps_lock.compare(written, [ONE, again[0], TWO, again[1]])
    assert written == (ONE, TWO, *again)
    with pytest.raises(CollectionRefused, match=r"out of order: place 1 of its file is test_two\[rollback\]"):
        steps_lock.compare(written, [ONE, again[1], TWO, again[0]])
