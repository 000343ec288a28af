"""How the tests are shared out among the workers of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file on one worker, and all that share the whole running system on one.

    Fixtures of a module or session then start their servers once, not once a worker.
    """
    for item in items:
        path = item.path.relative_to(HERE)
        together = path.parent if path.parts[:2] == ("tests", "integration") else path
        item.add_marker(pytest.mark.xdist_group(together.as_posix()))
