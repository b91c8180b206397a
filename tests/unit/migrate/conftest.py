"""The long forms of these tests run when asked for: `-m scale`, `-m faults`."""

from __future__ import annotations

import pytest

LONG = ("scale", "faults")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scale: many times or much; `make scale`")
    config.addinivalue_line("markers", "faults: processes are killed, at many points; `make faults`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("-m"):
        return
    long = [item for item in items if any(item.get_closest_marker(name) for name in LONG)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
