from __future__ import annotations

import pytest

from diary.passwords import hash_password, new_token, password_fits, token_hash


@pytest.fixture(scope="module")
def stored() -> str:
    return hash_password("correct horse", cost=16)


def test_the_password_fits_its_hash_and_no_other_does(stored: str) -> None:
    assert password_fits("correct horse", stored)
    assert not password_fits("correct horse\n", stored)


def test_a_hash_has_a_salt_of_its_own_and_does_not_hold_the_password(stored: str) -> None:
    assert stored != hash_password("correct horse", cost=16)
    assert "correct horse" not in stored


def test_no_password_fits_an_account_that_does_not_exist() -> None:
    assert not password_fits("correct horse", None)


def test_a_hash_of_another_scheme_is_an_error_not_a_no() -> None:
    with pytest.raises(ValueError, match="'md5' is not known"):
        password_fits("correct horse", "md5$1$1$1$AAAA$AAAA")


def test_tokens_differ_and_are_stored_as_32_bytes_whatever_was_sent() -> None:
    assert new_token() != new_token()
    assert [32, 32, 32] == [len(token_hash(token)) for token in (new_token(), "", "\ud800")]
