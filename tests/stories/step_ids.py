"""The standard steps, and this project's own, that stories hold up or look at, by node id."""

from __future__ import annotations

ARTEFACT = "pytest_deploy/suites/build/test_artefact.py::test_artefact_is_built_and_reproducible"
BACKUP = "pytest_deploy/suites/backup/test_backup.py::test_database_is_backed_up"
MIGRATION = "pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"
REVISION = "pytest_deploy/suites/deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"
HEALTH = "pytest_deploy/suites/smoke/test_health.py::test_health_answers_200_for_this_release"
TRAFFIC = "pytest_deploy/suites/traffic/test_traffic.py::test_traffic_moves_to_the_new_revision"
LED_BACK = "pytest_deploy/suites/rollback/test_restore.py::test_environment_is_led_back"
SMOKE = "smoke/test_api.py::test_"
FEATURE = "smoke/test_features.py::test_"
CAUGHT_BY = {
    "startup": {"deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"},
    "health": {"smoke/test_health.py::test_health_answers_200_for_this_release"},
    "login": {
        f"{SMOKE}valid_credentials_are_accepted",
        f"{SMOKE}entry_is_created_read_updated_and_deleted",
        f"{FEATURE}user_can_log_in",
        f"{FEATURE}user_can_create_a_diary_entry",
        f"{FEATURE}audit_trail_records_are_created",
    },
    "crud": {f"{SMOKE}entry_is_created_read_updated_and_deleted"},
    "audit": {f"{FEATURE}audit_trail_records_are_created"},
    "slow": {"smoke/test_health.py::test_health_answers_in_time"},
}
"""The exact set of steps that fail under each fault of the service."""


def phase_of(nodeid: str) -> str:
    """The phase a step belongs to: the folder below suites/, but for a smoke step that runs again in a rollback."""
    return "rollback" if nodeid.endswith("[rollback]") else nodeid.partition("suites/")[2].split("/")[0]
