"""Where policy asks for signatures, a rollback by hand is planned, signed and carried out as signed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.verify import verify
from tests.project_checkout import Checkout
from tests.stories.checkout_changes import PARCEL
from tests.stories.output_assertions import COLOURED
from tests.stories.rehearsed_checkout import TUESDAY, RehearsedCheckout

ASKED = "freeze_after_rollback: true\n\n  production:"
SIGNED = "freeze_after_rollback: true\n    rollback: {roles: [Tech Lead], ticket: true}\n\n  production:"
STATED = ("--deploy-reason=parcels hurt", "--deploy-ticket=INC-7")
HOUR = timedelta(hours=1)


@pytest.mark.faults
def test_a_rollback_that_needs_a_signature_is_planned_signed_and_done(checkout: Checkout) -> None:
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    assert ASKED in written
    checkout.write("deploy.yaml", written.replace(ASKED, SIGNED))
    checkout.commit("A rollback of staging is signed")
    staging = RehearsedCheckout.of(checkout, "staging")
    seen = staging.checkout
    first = staging.deployed(TUESDAY, "QA Lead")
    standing = seen.standing()
    checkout.write("migrations/0008_parcel.sql", PARCEL)
    checkout.commit("Parcels")
    staging.deployed(TUESDAY + HOUR, "QA Lead")

    # 1. What policy demands is demanded before anything is written, and nobody goes back unsigned.
    events = len(seen.events())
    unstated = staging.plan(TUESDAY + 2 * HOUR, "--deploy-to=earlier", "--deploy-reason=parcels hurt")
    unplanned = staging.start(TUESDAY + 2 * HOUR, "--deploy-pipeline=rollback", *STATED).wait()
    assert (unstated.code, unplanned.code) == (1, 4), unstated.said + unplanned.said
    assert "states a reason and a ticket (rollback.ticket): add --ticket" in unstated.said
    assert "--deploy-to=earlier" in unplanned.said
    assert len(seen.events()) == events

    # 2. Its plan builds nothing, waits for one signature, and says what it undoes.
    planned = staging.plan(TUESDAY + 2 * HOUR, f"--deploy-to={first}", *STATED, COLOURED)
    assert planned.code == 0, planned.said
    assert "undoes 0008_parcel.sql" in planned.stdout
    assert "approval missing: Tech Lead" in planned.stdout
    assert "--deploy-pipeline=rollback" in planned.stdout
    request = staging.last_request()
    unsigned = staging.run(request, TUESDAY + 2 * HOUR, "--deploy-pipeline=rollback")
    assert unsigned.code == 1, unsigned.said
    assert "approval missing: Tech Lead" in unsigned.said

    # 3. Signed, what was signed is done.
    shown = seen.deploy_py("approve", request, "--role", "Tech Lead", "--show")
    assert "undoes    0008 parcel" in shown.stdout
    assert "drop table diary.parcel" in shown.stdout
    wrong = staging.approve(request, "QA Lead")
    assert wrong.code == 1, wrong.said
    signed = staging.approve(request, "Tech Lead")
    assert signed.code == 0, signed.said
    ran = staging.run(request, TUESDAY + 2 * HOUR, "--deploy-pipeline=rollback")
    assert ran.code == 0, ran.said
    assert seen.decided(request)["outcome"] == "rolled-back"
    assert seen.standing() == standing
    assert {gate for gate, told in staging.verdicts("change", request).items() if told["verdict"] == "passed"} == {
        *("approvals", "lease", "clock"),
    }
    store = seen.path / "reports" / "rehearsal" / "staging"
    verified = seen.deploy_py("verify", str(store))
    assert verified.code == 0, verified.said
    script = seen.begin("bash", str(verify.__file__).replace("verify.py", "verify.sh"), str(store)).wait()
    assert script.code == 0, script.said
