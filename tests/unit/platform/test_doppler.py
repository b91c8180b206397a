"""Doppler's own program gives the secrets, or says why not: never those of yesterday, never an empty one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.platform.doppler import DopplerSecrets
from pytest_deploy.record.secrets import Secrets
from tests import fake_doppler
from tests.fake_doppler import TOKEN, FakeDoppler

HELD = {"SMOKE_USER": "smoke", "SMOKE_PASSWORD": "correct-horse", "EMPTY": "", "DOPPLER_CONFIG": "prd"}
STORE = DopplerSecrets("parcels", "prd")


@pytest.fixture
def doppler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDoppler]:
    with fake_doppler.serving(HELD) as served:
        monkeypatch.setenv("DOPPLER_API_HOST", served.address)
        monkeypatch.setenv("DOPPLER_TOKEN", TOKEN)
        monkeypatch.setenv("HOME", str(tmp_path))
        yield served


def refused(store: DopplerSecrets = STORE, *names: str) -> str:
    with pytest.raises(Refused) as caught:
        store.fetch(names or ("SMOKE_PASSWORD",))
    assert TOKEN not in str(caught.value)
    assert "correct-horse" not in str(caught.value)
    return str(caught.value)


def test_it_gives_what_is_asked_for_and_leaves_nothing_on_the_disk(doppler: FakeDoppler, tmp_path: Path) -> None:
    found = STORE.fetch(("SMOKE_USER", "SMOKE_PASSWORD"))

    assert found == {"SMOKE_USER": "smoke", "SMOKE_PASSWORD": "correct-horse"}
    assert fake_doppler.DOWNLOAD in doppler.asked
    assert not list(tmp_path.rglob("*")), "no file that a later run could fall back to"


@pytest.mark.parametrize(
    "names, said",
    [
        (
            ("SMOKE_PASSWORD", "API_KEY"),
            "Doppler's parcels/prd has no API_KEY; add it there, or take it out of `secrets`",
        ),
        (("EMPTY",), "Doppler's parcels/prd: EMPTY is empty there, which is no secret; give it its value"),
    ],
)
@pytest.mark.usefixtures("doppler")
def test_what_is_missing_or_empty_is_a_failure_named_for_it(names: tuple[str, ...], said: str) -> None:
    assert said in refused(STORE, *names)


@pytest.mark.usefixtures("doppler")
def test_without_a_token_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv("DOPPLER_TOKEN") if value is None else monkeypatch.setenv("DOPPLER_TOKEN", value)
        assert "DOPPLER_TOKEN is empty or not set; give this job a service token" in refused()


@pytest.mark.usefixtures("doppler")
def test_a_token_that_was_revoked_is_told_from_one_of_another_config(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not one of this project and config" in refused(DopplerSecrets("parcels", "stg"))
    monkeypatch.setenv("DOPPLER_TOKEN", "dp.st.prd.revoked-1f0b1d7e")
    said = refused()
    assert "Invalid Service token" in said
    assert "was revoked, has expired or is another's" in said
    assert "dp.st.prd.revoked" not in said


def test_an_answer_that_fails_once_is_asked_again(doppler: FakeDoppler) -> None:
    doppler.failures[:] = [503]
    assert STORE.fetch(("SMOKE_USER",)) == {"SMOKE_USER": "smoke"}


def test_where_it_does_not_answer_nothing_of_yesterday_is_used(doppler: FakeDoppler) -> None:
    assert STORE.fetch(("SMOKE_USER",)) == {"SMOKE_USER": "smoke"}
    doppler.failures[:] = [503] * 20
    said = refused()
    assert "gave no secrets" in said
    assert "nothing was read from an earlier answer" in said


def test_without_its_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOPPLER_TOKEN", TOKEN)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert "secrets_from.doppler: the program doppler was not found" in refused()


@pytest.mark.usefixtures("doppler")
def test_fetched_secrets_are_cut_in_every_process_of_the_run_and_kept_in_none_of_our_files(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir(mode=0o700)
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"SMOKE_PASSWORD": "made-up-before"}), encoding="utf-8")
    first = Secrets(file, ("SMOKE_USER", "SMOKE_PASSWORD"), notes, STORE)
    other = Secrets(file, ("SMOKE_USER", "SMOKE_PASSWORD"), notes, STORE)

    assert first["SMOKE_PASSWORD"] == "correct-horse", "not what was made up before policy named a store"
    other.take_in()

    assert "correct-horse" not in other.redact("it said correct-horse")
    assert "correct-horse" not in file.read_text(encoding="utf-8")


def test_a_value_that_could_not_be_cut_is_refused_by_name(doppler: FakeDoppler, tmp_path: Path) -> None:
    doppler.secrets = {"SMOKE_PASSWORD": "abc"}
    with pytest.raises(Refused, match=r"Doppler's parcels/prd: .*SMOKE_PASSWORD.*give it a longer value there"):
        Secrets(tmp_path / "s", ("SMOKE_PASSWORD",), source=STORE).fetch()
