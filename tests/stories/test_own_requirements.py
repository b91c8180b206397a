"""A project's own requirements: the file that deploy.yaml names, the ids that marks name, and what a run says of both.

Real child sessions in a checkout with one step.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from html import unescape

import pytest

from pytest_deploy.record.event import Event
from pytest_deploy.verify.verify import verify
from tests.project_checkout import Checkout
from tests.stories.one_step_checkout import one_step_checkout

SMOKE = ("--deploy-env=local", "--deploy-pipeline=smoke")
MINE = "requirements: spec/parcels.md\n"
PARCELS = "# Parcels\n\n- PARCEL-12: A parcel has exactly one sender.\n- PARCEL-13: It has an address.\n"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with one_step_checkout(tmp_path_factory.mktemp("requirements")) as checkout:
        yield checkout


@pytest.fixture
def checkout(opened: Checkout) -> Iterator[Checkout]:
    yield opened
    opened.git("reset", "--quiet", "--hard")
    opened.git("clean", "--quiet", "-fd", "spec")


def name(checkout: Checkout, setting: str, *claims: object, register: str | None = PARCELS) -> None:
    """Let deploy.yaml name a register, and the one step these requirements."""
    lines = (checkout.path / "deploy.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith("requirements:"))
    checkout.write("deploy.yaml", setting + kept)
    if register is not None:
        checkout.write("spec/parcels.md", register)
    marks = "".join(f"@pytest.mark.requirement({claim!r})\n" for claim in claims)
    body = "    record.expect(1, 1)\n    record.verified()\n"
    checkout.write("suites/smoke/test_ending.py", f"import pytest\n\n{marks}def test_ending(record):\n{body}")


def openings(checkout: Checkout) -> list[Event]:
    return [event for event in checkout.events() if event.type == "run.opened"]


def matrix(checkout: Checkout) -> str:
    """The section of the newest report, its text unescaped."""
    newest = max(checkout.store.joinpath("runs").iterdir(), key=lambda folder: folder.stat().st_mtime)
    page = unescape((newest / "report.html").read_text(encoding="utf-8"))
    return page[page.index('<h2 id="requirements">') :].partition("</section>")[0]


def test_own_ids_are_verified_against_the_own_register(checkout: Checkout) -> None:
    name(checkout, MINE, "PARCEL-12", "REQ-o00043-H")

    ran = checkout.run(*SMOKE)

    assert ran.code == 0, ran.said
    told = matrix(checkout)
    assert "All 2 requirements of the register" in told
    assert 'data-assertion="PARCEL-12" data-outcome="verified"' in told
    assert 'data-assertion="PARCEL-13" data-outcome="not-exercised"' in told
    assert "A parcel has exactly one sender." in told
    assert 'data-assertion="REQ-o00043-H" data-outcome="verified"' in told
    assert "not in the register" not in told
    opening = openings(checkout)[-1].data
    assert opening["spec_sha256"] == opening["preimages"]["spec/parcels.md"]
    asked = checkout.deploy_py("history", "--requirement", "PARCEL-12")
    assert asked.code == 0
    assert "PARCEL-12  verified" in asked.stdout
    assert "A parcel has exactly one sender." in asked.stdout
    family = checkout.deploy_py("history", "--requirement", "PARCEL")
    assert "PARCEL-13  never exercised" in family.stdout
    junit = (checkout.path / "reports" / "local" / "runs").glob("*/junit.xml")
    assert any('name="requirement" value="PARCEL-12"' in file.read_text(encoding="utf-8") for file in junit)


def test_without_a_register_the_run_names_none_and_verifies(checkout: Checkout) -> None:
    name(checkout, "", "PARCEL-99")

    ran = checkout.run(*SMOKE)

    assert ran.code == 0, ran.said
    assert openings(checkout)[-1].data["spec_sha256"] is None
    told = matrix(checkout)
    assert 'No register is named (<span class="mono">requirements:</span> of deploy.yaml)' in told
    assert 'data-assertion="PARCEL-99" data-outcome="verified"' in told
    assert verify(checkout.store).ok
    script = ["bash", str(checkout.path / "pytest_deploy" / "verify" / "verify.sh"), str(checkout.store)]
    second = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    asked = checkout.deploy_py("history", "--requirement", "PARCEL-99")
    assert "PARCEL-99  verified" in asked.stdout


REFUSED: dict[str, tuple[str, list[object], str | None, str]] = {
    "a register that is not there": (MINE, ["PARCEL-12"], None, "requirements: spec/parcels.md: it cannot be read: No such file"),
    "a register without a requirement": (MINE, ["PARCEL-12"], "# Parcels\n", "spec/parcels.md: it names no requirement; right is"),
    "a path out of the repository": ("requirements: ../parcels.md\n", [], None, "leads out of the folder of deploy.yaml"),
    "an id that the register lacks": (
        MINE, ["PARCEL-12", "PARCEL-21"], PARCELS,
        "test_ending: PARCEL-21: spec/parcels.md holds no such requirement; did you mean PARCEL-1",
    ),
    "what is no id": (MINE, ["PARCEL 12"], PARCELS, "requirement('PARCEL 12') names no requirement: right is one id, letters, digits"),
    "no text": (MINE, [12], PARCELS, "requirement(12) names no requirement: right is one id"),
}  # fmt: skip


WORKERS = ("-n2",)
TRIED: list[tuple[str, tuple[str, ...]]] = [(case, ()) for case in REFUSED]
TRIED += [("an id that the register lacks", WORKERS), ("what is no id", WORKERS)]


@pytest.mark.parametrize("case,workers", TRIED)
def test_what_cannot_be_held_against_a_register_is_refused_before_anything_is_opened(
    checkout: Checkout, case: str, workers: tuple[str, ...]
) -> None:
    setting, claims, register, said = REFUSED[case]
    name(checkout, setting, *claims, register=register)
    before = len(openings(checkout))

    ran = checkout.run(*SMOKE, *workers)

    assert ran.code == 4, ran.said
    assert said in ran.said
    assert len(openings(checkout)) == before
