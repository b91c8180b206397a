"""What is wrong in deploy.yaml or on the command line is said at once, with its line; nothing is written."""

from __future__ import annotations

from tests.project_checkout import Checkout

BROKEN_YAML = """
  # a test's
  broken:
    platform: {kind: embedded}
    phases: {leave_out: [approval, holidays]}
    sla_minutes: 10
    health: {watch_s: soon}
"""


def test_every_fault_of_the_configuration_is_named_with_its_line(checkout: Checkout) -> None:
    text = (checkout.path / "deploy.yaml").read_text(encoding="utf-8") + BROKEN_YAML
    checkout.write("deploy.yaml", text)
    line = {word: text[: text.rindex(word)].count("\n") + 1 for word in ("holidays", "sla_minutes", "watch_s: soon")}

    ran = checkout.run("--deploy-env=broken")

    assert ran.code == 4, ran.said
    for word, number in line.items():
        assert f"deploy.yaml:{number}:" in ran.said, f"{word}: {ran.said}"
    nobody = checkout.run("--deploy-env=nowhere")
    assert nobody.code == 4, nobody.said
    assert "nowhere" in nobody.said
    unset = checkout.run("--deploy-env=local", "--deploy-set=smoke.budgets=1")
    assert unset.code == 4, unset.said
    assert "smoke.budgets" in unset.said
    elsewhere = checkout.run("--deploy-env=production", "--deploy-set=smoke.budget_s=1")
    assert elsewhere.code == 4, elsewhere.said
    alone = checkout.run("--deploy-reason=because")
    assert alone.code == 4, alone.said
    assert not (checkout.path / "reports").exists()
    assert not (checkout.path / ".deploy").exists()
    assert list(checkout.memory.iterdir()) == []
