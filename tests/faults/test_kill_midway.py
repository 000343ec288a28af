"""``kill -9`` between two shards: the work completes, and the store is the same."""

from __future__ import annotations

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import Undisturbed
from mistudio_testkit.site import Site

pytestmark = [pytest.mark.stack, pytest.mark.faults]


@pytest.mark.parametrize("victim", ["extractor", "catalog", "nats", "postgres"])
def test_an_extraction_outlives_a_kill(
    stack: EmbeddedStack, site: Site, undisturbed: Undisturbed, victim: str
) -> None:
    undisturbed.outlives(stack, site, victim, "extraction:shard_completed")
