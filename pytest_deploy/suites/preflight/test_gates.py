"""Whether it may go now: each gate of the environment's policy, with what it was judged by. All are asked, none hides another.

`check` credits the assertion where the gate passed by its rule.
"""

from __future__ import annotations

import pytest

from pytest_deploy import Gates


def test_deployer(gates: Gates) -> None:
    gates.check("deployer")


@pytest.mark.requirement("REQ-o00043-J", environment="production")
def test_window(gates: Gates) -> None:
    gates.check("window")


@pytest.mark.requirement("REQ-o00043-J", environment="production")
def test_blackout(gates: Gates) -> None:
    gates.check("blackout")


@pytest.mark.requirement("REQ-o00043-K", environment="production")
def test_rate_limit(gates: Gates) -> None:
    gates.check("rate-limit")


def test_lease(gates: Gates) -> None:
    gates.check("lease")


@pytest.mark.requirement("REQ-o00043-D", environment="production")
def test_staging_smoke(gates: Gates) -> None:
    gates.check("staging-smoke")


def test_incidents(gates: Gates) -> None:
    gates.check("incidents")


@pytest.mark.requirement("REQ-o00043-E")
def test_build(gates: Gates) -> None:
    gates.check("build")


@pytest.mark.requirement("REQ-o00043-Q")
def test_retention(gates: Gates) -> None:
    gates.check("retention")


def test_anchors(gates: Gates) -> None:
    gates.check("anchors")


def test_administrators(gates: Gates) -> None:
    gates.check("administrators")


def test_freeze(gates: Gates) -> None:
    gates.check("freeze")


def test_clock(gates: Gates) -> None:
    gates.check("clock")
