"""What every test here shares."""

from __future__ import annotations

import gc
import os

import pytest

from mistudio_testkit.nightly import skip_what_is_nightly

# Threads that wait for each other cost tiny models more than they save, above all on a machine
# that tests already keep busy. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each worker imports every test and what it tests, of which nothing is garbage.
gc.disable()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in a hook of the same name.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what shares servers on one worker: the tests of a file, and those of one stack."""
    skip_what_is_nightly(items)
    for item in items:
        across = item.path.is_relative_to(config.rootpath / "tests")
        shares = across and "stack" in getattr(item, "fixturenames", ())
        group = f"stack of {item.path.parent.name}" if shares else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where pytest-xdist sees no groups: each worker would start every server."""
    gc.freeze()
    gc.enable()
    if hasattr(session.config, "workerinput") and session.config.getoption("loadgroup"):
        ungrouped = [item.nodeid for item in session.items if "@" not in item.nodeid]
        if ungrouped:
            raise pytest.UsageError(f"pytest-xdist sees no group of {ungrouped[0]}")
