"""A deployment whose secrets are Doppler's: fetched by its own program before anything is opened, and in no file of ours."""

from __future__ import annotations

from tests import fake_doppler
from tests.fake_doppler import TOKEN
from tests.project_checkout import Checkout

PASSWORD = "correct-horse-canary"
HELD = {"SMOKE_USER": "smoke-of-doppler", "SMOKE_PASSWORD": PASSWORD}
SET = "--deploy-set=secrets_from={doppler: {project: parcels, config: prd}}"


def test_secrets_of_doppler_serve_a_deployment_and_are_nowhere_in_what_it_leaves(checkout: Checkout) -> None:
    with fake_doppler.serving(HELD) as doppler:
        variables = {"DOPPLER_API_HOST": doppler.address, "DOPPLER_TOKEN": TOKEN}

        # 1. One of them is empty: nothing is opened.
        doppler.secrets = {**HELD, "SMOKE_PASSWORD": ""}
        refused = checkout.deploy(SET, env=variables)
        assert refused.code == 1, refused.said
        assert "Doppler's parcels/prd: SMOKE_PASSWORD is empty there" in refused.said
        assert not checkout.runs()

        # 2. Both are there: the smoke logs in with them.
        doppler.secrets = HELD
        ran = checkout.deploy(SET, env=variables)
        assert ran.code == 0, ran.said

    for name in (".deploy", "reports"):
        for file, content in checkout.bytes_below(name).items():
            assert PASSWORD.encode() not in content, file
            assert TOKEN.encode() not in content, file
    assert PASSWORD not in ran.said
