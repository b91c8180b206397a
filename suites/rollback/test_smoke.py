"""The smoke tests once more, on the serving address, expecting the earlier release."""

from __future__ import annotations

import pytest

from suites.smoke.test_api import (
    test_entry_is_created_read_updated_and_deleted,
    test_health_answers_200_for_this_release,
    test_health_answers_in_time,
    test_invalid_credentials_are_refused,
    test_valid_credentials_are_accepted,
)
from suites.smoke.test_database import test_connection_opens, test_query_answers_in_time, test_simple_query_answers
from suites.smoke.test_features import (
    test_audit_trail_records_are_created,
    test_user_can_create_a_diary_entry,
    test_user_can_log_in,
)
from suites.smoke.test_integrity import test_schema_is_the_releases_version

pytestmark = [pytest.mark.step(when="earlier"), pytest.mark.requirement("REQ-o00043-I")]

__all__ = [
    "test_audit_trail_records_are_created",
    "test_connection_opens",
    "test_entry_is_created_read_updated_and_deleted",
    "test_health_answers_200_for_this_release",
    "test_health_answers_in_time",
    "test_invalid_credentials_are_refused",
    "test_query_answers_in_time",
    "test_schema_is_the_releases_version",
    "test_simple_query_answers",
    "test_user_can_create_a_diary_entry",
    "test_user_can_log_in",
    "test_valid_credentials_are_accepted",
]
