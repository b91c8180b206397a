"""--deploy-set: one value changed, where nothing real can be hurt."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, BASE + PRODUCTION)


def local(file: Path, *sets: str) -> Policy:
    return load(file, "local", sets)


def refused(file: Path, *sets: str, environment: str = "local", rehearsal: bool = False) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as raised:
        load(file, environment, sets, rehearsal=rehearsal)
    return [(fault.file, fault.key) for fault in raised.value.faults]


def test_a_setting_changes_one_value_and_keeps_the_rest(file: Path) -> None:
    health = local(file, "health.watch_s=1").health

    assert (health.watch_s, health.interval_s) == (1, 0.5)


@pytest.mark.parametrize("value", ["login", "1", "true", "null", "", "a=b", "{x", "09:00"])
def test_a_variable_of_the_service_stays_text(file: Path, value: str) -> None:
    assert {"FAULT": value} == local(file, f"service.env.FAULT={value}").service.env


def test_a_list_is_written_as_in_yaml(file: Path) -> None:
    assert local(file, "traffic.steps_percent=[20, 100]").traffic.steps_percent == (20, 100)


def test_a_whole_section_may_be_set(file: Path) -> None:
    assert local(file, "incidents={within_h: 3, command: [cat, incidents.json]}").incidents is not None


def test_a_later_setting_wins(file: Path) -> None:
    policy = local(file, "sla_s=700", "sla_s=800")

    assert (policy.sla_s, policy.settings) == (800, {"sla_s": "800"})


def test_settings_are_kept_as_given_and_change_the_digest(file: Path) -> None:
    policy = local(file, "health.watch_s=1", "service.env.FAULT=login")

    assert policy.settings == {"health.watch_s": "1", "service.env.FAULT": "login"}
    assert local(file).digest() != policy.digest()


@pytest.mark.parametrize(
    "setting,key",
    [
        ("health.wach_s=1", "health.wach_s"),
        ("helth.watch_s=1", "helth"),
        ("health.watch_s=soon", "health.watch_s"),
        ("health.watch_s=", "health.watch_s"),
        ("health.watch_s", "health.watch_s"),
        ("health..watch_s=1", "health..watch_s"),
        ("=1", ""),
        ("service.env.=1", "service.env."),
        ("service.env.A B=1", "service.env.A B"),
        ("service.command=[python, [x]]", "service.command[1]"),
        ("service.checks={lint: 1}", "service.checks.lint"),
        ("traffic.steps_percent=[20", "traffic.steps_percent"),
        ("traffic.steps_percent=[20]", "traffic.steps_percent"),
        ("smoke.budget_s=700", "smoke.budget_s"),
        ("environment=production", "environment"),
        ("settings={}", "settings"),
        ("extends=production", "extends"),
        ("phases.leave_out=[smoke]", "phases.leave_out[0]"),
        ("sla_s.x=1", "sla_s"),
    ],
)
def test_a_faulty_setting_is_refused_by_its_key(file: Path, setting: str, key: str) -> None:
    found = refused(file, setting)

    assert ("--deploy-set", key) in found
    assert {"--deploy-set"} == {place for place, _ in found}


def test_every_faulty_setting_is_listed(file: Path) -> None:
    assert [key for _, key in refused(file, "sla_s=x", "dirty_tree=x")] == ["sla_s", "dirty_tree"]


def test_settings_are_refused_where_the_deployment_is_real(file: Path) -> None:
    assert refused(file, "health.watch_s=1", environment="production") == [("--deploy-set", "")]


def test_a_setting_cannot_make_a_real_environment_embedded(file: Path) -> None:
    assert refused(file, "platform={kind: embedded, runtime: process, google: null}", environment="production") == [
        ("--deploy-set", "")
    ]


def test_a_setting_cannot_leave_the_embedded_platform(file: Path) -> None:
    real = "platform={kind: google, runtime: container, google: {project: p, region: r}}"

    assert refused(file, real, "record={store: gcs, bucket: abc}") == [("--deploy-set", "platform.kind")]


def test_a_rehearsal_takes_settings_and_keeps_the_policy(file: Path) -> None:
    policy = load(file, "production", ["health.watch_s=20"], rehearsal=True)

    assert (
        policy.platform.kind,
        policy.health.watch_s,
        policy.approval.roles,
    ) == ("embedded", 20, ("Tech Lead", "QA Lead"))
    assert policy.window is not None


def test_a_rehearsals_people_have_no_tokens_and_that_is_said(tmp_path: Path) -> None:
    asked = {"policy": "pin", "used": "none"}
    file = written(tmp_path, BASE + PRODUCTION.replace("QA Lead]}", "QA Lead], user_verification: pin}"))
    rehearsed = load(file, "production", rehearsal=True)

    assert load(file, "production").approval.user_verification == "pin"
    assert rehearsed.approval.user_verification == "none"
    assert rehearsed.substituted["approval.user_verification"] == asked


def test_a_rehearsal_freezes_nothing_unless_set(tmp_path: Path) -> None:
    file = written(tmp_path, BASE + PRODUCTION + "    freeze_after_rollback: true\n")

    assert load(file, "production").freeze_after_rollback
    assert not load(file, "production", rehearsal=True).freeze_after_rollback
    assert load(file, "production", ["freeze_after_rollback=true"], rehearsal=True).freeze_after_rollback


def test_a_rehearsal_cannot_go_without_approval(file: Path) -> None:
    assert ("--deploy-set", "phases.leave_out") in refused(
        file, "phases.leave_out=[approval]", environment="production", rehearsal=True
    )


def test_what_stands_in_place_of_policys_own_is_told_with_both_values(tmp_path: Path) -> None:
    file = written(tmp_path, BASE + PRODUCTION + "    freeze_after_rollback: true\n")

    assert load(file, "production").substituted == {}
    rehearsed = load(
        file,
        "production",
        ["health.watch_s=1", "health.interval_s=1", "window=null", "service.env.FAULT=login"],
        rehearsal=True,
    )
    assert rehearsed.substituted["freeze_after_rollback"] == {"policy": True, "used": False}
    assert rehearsed.substituted["platform.kind"]["used"] == "embedded"
    assert rehearsed.substituted["health.watch_s"]["used"] == 1.0
    assert rehearsed.substituted["window.opens"]["used"] is None
    assert rehearsed.substituted["service.env.FAULT"] == {"policy": None, "used": "login"}
    # What is as policy has it is not among them, and what was set to its own value neither.
    assert rehearsed.replaced("approval", "sla_s") == ()
    same = load(file, "production").health.watch_s
    assert load(file, "production", [f"health.watch_s={same}", "window=null"], rehearsal=True).replaced("health") == ()


@pytest.mark.parametrize("section", ["health", "health.watch_s", "health.watch_s.deeper"])
def test_a_section_is_replaced_where_a_part_of_it_is(file: Path, section: str) -> None:
    assert load(file, "local", ["health.watch_s=1"]).replaced(section) == ("health.watch_s",)


@pytest.mark.parametrize("section", ["health.interval_s", "heal", "smoke"])
def test_a_section_is_not_replaced_where_another_is(file: Path, section: str) -> None:
    assert load(file, "local", ["health.watch_s=1"]).replaced(section) == ()


@pytest.mark.parametrize("name", ["parcels_app", "Parcels App", "x" * 63, "null"])
def test_the_services_group_is_any_role_of_ones_own(file: Path, name: str) -> None:
    database = local(file, f"database.service_group={name}").database
    assert database is not None
    group = database.service_group

    assert group == (None if name == "null" else name)


@pytest.mark.parametrize("name", ["pg_read_all_data", "public", "x" * 64, "''", '"a\\nb"'])
def test_a_role_that_is_postgresqls_own_or_no_name_is_refused(file: Path, name: str) -> None:
    assert refused(file, f"database.service_group={name}") == [("--deploy-set", "database.service_group")]


@pytest.mark.parametrize("asked, names_commit", [((), False), (("service.health_names_commit=true",), True)])
def test_health_names_the_commit_only_where_policy_asks_for_it(
    file: Path, asked: tuple[str, ...], *, names_commit: bool
) -> None:
    assert local(file, *asked).service.health_names_commit is names_commit
