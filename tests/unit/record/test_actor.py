"""Who runs a deployment is what the system says, not what the shell says."""

from __future__ import annotations

import os
import pwd

import pytest

from pytest_deploy.record.actor import local_actor


@pytest.mark.parametrize("name", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_a_variable_makes_nobody_somebody_else(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv(name, "the-manager")

    assert local_actor().startswith(f"local:{os.getuid()}:{user}@")


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)

    assert local_actor().startswith("local:4000000001:4000000001@")
