from __future__ import annotations

import pytest

from diary.settings import Fault, Settings, SettingsError

MINIMAL = {"DATABASE_URL": "postgresql://owner:hidden@db/diary"}


def test_a_database_url_is_enough() -> None:
    settings = Settings.read(MINIMAL)

    assert (8080, "127.0.0.1", "unknown", None) == (settings.port, settings.host, settings.version, settings.fault)


def test_the_container_contract_and_the_release_are_read() -> None:
    settings = Settings.read(
        {**MINIMAL, "PORT": "9000", "HOST": "0.0.0.0", "K_REVISION": "diary-00003", "VERSION": "1.2.0", "COMMIT": "abc"}  # noqa: S104  what a container sets
    )

    assert (9000, "diary-00003", "1.2.0", "abc") == (
        settings.port,
        settings.revision,
        settings.version,
        settings.commit,
    )


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_is_known_by_its_name(fault: Fault) -> None:
    assert fault is Settings.read({**MINIMAL, "FAULT": fault.value}).fault


def test_an_unknown_fault_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(SettingsError, match="FAULT='Slow' is not one of startup, health, login, crud, audit, slow"):
        Settings.read({**MINIMAL, "FAULT": "Slow"})


def test_every_fault_of_the_environment_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.read({"PORT": "http", "SESSION_SECONDS": "0", "FAULT": "?"})

    assert len(refused.value.faults) == 4


def test_the_database_url_is_not_printed() -> None:
    assert "hidden" not in repr(Settings.read(MINIMAL))
