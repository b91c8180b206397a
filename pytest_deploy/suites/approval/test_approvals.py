"""What people signed is what is asked for: the quorum of roles, by distinct people, over this request."""

from __future__ import annotations

import pytest

from pytest_deploy import Gates


@pytest.mark.requirement("REQ-o00043-B", environment="staging")
@pytest.mark.requirement("REQ-o00043-C", environment="production")
@pytest.mark.requirement("REQ-o00043-N")
def test_approvals(gates: Gates) -> None:
    gates.check("approvals")
