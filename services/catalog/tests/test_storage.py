"""What only a real Postgres shows: pages over many rows, rivals, and what it cannot store."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.storage.database import Database
from mistudio_catalog.storage.removals import Removal
from mistudio_contracts import events, subjects
from mistudio_contracts.errors import InvalidInput, ServiceUnavailable
from mistudio_contracts.states import ModelStatus
from mistudio_testkit.bus import until

from .support import now, open_database
from .test_extraction_states import waiting
from .test_model_states import pending


async def test_a_row_comes_back_as_it_was_written(database: Database) -> None:
    model = replace(pending(), config={"nested": [1, None, {"a": "\x00"}]}, name="ä")
    async with database.transaction() as tx:
        await tx.models.insert(model)
        await tx.extractions.insert(waiting_on(model.id))
    async with database.reading() as tx:
        assert await tx.models.get(model.id) == model
        assert await tx.extractions.get("ext_x") == waiting_on(model.id)


def waiting_on(model_id: str):  # type: ignore[no-untyped-def]
    return replace(waiting(), model_id=model_id)


async def fill(database: Database, rows: int) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(
            """
            INSERT INTO models (
                id, pool, name, source, model_identifier, quantization, status, phase, progress,
                told_progress, config, created_at, updated_at
            )
            SELECT 'm_' || n, 'default', 'name ' || n, 'local', '/x', 'none', 'pending', 'idle',
                0, 0, '{}', now() - n * interval '1 second', now()
            FROM generate_series(1, $1::int) AS n
            """,
            rows,
        )
        await connection.execute("ANALYZE models")
    finally:
        await connection.close()


async def test_a_connection_comes_back_as_it_is_and_without_its_transaction(
    catalog_url: str,
) -> None:
    """Nothing is asked of the server for that, unless a transaction has to be ended."""
    async with open_database(catalog_url, most=1) as database:
        seen = await asyncpg.connect(catalog_url)
        try:
            async with database.reading() as tx:
                await tx.models.get("m_none")
            last = "SELECT query FROM pg_stat_activity WHERE query LIKE '%FROM models WHERE id%'"
            here = "datname = current_database() AND pid <> pg_backend_pid()"
            assert len(await seen.fetch(f"{last} AND {here}")) == 1
            with contextlib.suppress(ZeroDivisionError):
                async with database.transaction() as tx:
                    await tx.models.insert(pending())
                    _ = 1 // 0
            async with database.reading() as tx:
                assert await tx.models.get(pending().id) is None
        finally:
            await seen.close()


async def test_a_page_is_read_off_an_index_and_not_sorted(database: Database) -> None:
    await fill(database, 10_000)
    connection = await asyncpg.connect(database.url)
    try:
        plan = await connection.fetch(
            "EXPLAIN SELECT id FROM models ORDER BY created_at DESC, id LIMIT 50 OFFSET 100"
        )
    finally:
        await connection.close()
    text = "\n".join(row[0] for row in plan)
    assert "idx_models_created_at" in text
    assert "Sort" not in text
    async with database.reading() as tx:
        found, total = await tx.models.page(
            status=None, model_type=None, search=None, limit=50, offset=100
        )
        assert total == 10_000
        assert [model.id for model in found] == [f"m_{n}" for n in range(101, 151)]
        none, nothing = await tx.models.page(
            status=ModelStatus.READY, model_type=None, search=None, limit=50, offset=0
        )
        assert (none, nothing) == ([], 0)


async def test_what_a_search_finds_is_counted_however_long_its_words(database: Database) -> None:
    await fill(database, 20)
    long = "𝔐" * 1000  # Four bytes each: more than an entry of an index holds.
    async with database.transaction() as tx:
        for number, name in enumerate(("short Under 50%", f"{long[:493]} Under")):
            await tx.models.insert(
                replace(pending(), id=f"m_found{number}", name=name, model_identifier=long)
            )
    async with database.reading() as tx:
        for search, total in (("under", 2), ("NDER 50%", 1), ("under 50_", 0), (long, 2)):
            found, counted = await tx.models.page(
                status=None, model_type=None, search=search, limit=50, offset=0
            )
            assert (len(found), counted) == (total, total)


async def test_what_fails_commits_neither_state_nor_messages(database: Database) -> None:
    gone = Outgoing(subjects.MODEL_DELETED, events.ModelDeleted(model_id="m_x"), "m_x")

    async def break_off() -> None:
        async with database.transaction() as tx:
            await tx.models.insert(pending())
            await tx.send((gone,))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await break_off()
    async with database.reading() as tx:
        assert await tx.models.get("m_x") is None
        assert await tx.outbox.due(10) == []


async def test_messages_wait_in_the_order_they_were_sent(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.send(
            [
                Outgoing(subjects.MODEL_DELETED, events.ModelDeleted(model_id=f"m_{n}"), f"m_{n}")
                for n in range(50)
            ]
        )
    async with database.reading() as tx:
        due = await tx.outbox.due(100)
    assert [each.entity_id for each in due] == [f"m_{n}" for n in range(50)]


async def test_one_extraction_runs_on_a_store(database: Database) -> None:
    from mistudio_catalog.domain.extraction import ExtractionPhase

    running = replace(
        waiting_on("m_x"), phase=ExtractionPhase.PLANNING, store_key="a" * 32, task_id="task_1"
    )
    async with database.transaction() as tx:
        await tx.models.insert(pending())
        await tx.extractions.insert(running)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await tx.extractions.insert(replace(running, id="ext_y"))


async def test_text_that_postgres_cannot_hold_is_the_callers_error(database: Database) -> None:
    for name in ("a\x00b", "\ud800"):
        with pytest.raises(InvalidInput):
            async with database.transaction() as tx:
                await tx.models.insert(replace(pending(), name=name))
    with pytest.raises(InvalidInput):
        async with database.transaction() as tx:
            await tx.models.insert(replace(pending(), parameter_count=2**70))


async def test_rivals_that_deadlock_are_told_to_try_again(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.models.insert(pending())
        await tx.models.insert(replace(pending(), id="m_y"))
    met = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else _Meeting()

    async def cross(first: str, second: str) -> None:
        async with database.transaction() as tx:
            await tx.models.lock(first)
            await met.wait()
            await tx.models.lock(second)

    results = await asyncio.gather(cross("m_x", "m_y"), cross("m_y", "m_x"), return_exceptions=True)
    failures = [each for each in results if each is not None]
    assert len(failures) == 1
    assert isinstance(failures[0], ServiceUnavailable)
    assert failures[0].transient


class _Meeting:
    """``asyncio.Barrier(2)`` for Python 3.10."""

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._both = asyncio.Event()

    async def wait(self) -> None:
        if self._first.is_set():
            self._both.set()
        self._first.set()
        await self._both.wait()


async def test_who_forgets_a_removal_sees_what_the_last_to_ask_for_it_did(
    database: Database,
) -> None:
    removal = Removal("model", "f" * 32, "default")
    async with database.transaction() as tx:
        await tx.models.insert(replace(pending(), fingerprint=removal.fingerprint))
        await tx.removals.insert(removal)

    async def forget() -> bool:
        async with database.transaction() as tx:
            assert await tx.removals.delete(removal)
            return await tx.removals.still_referred(removal)

    async with database.transaction() as tx:
        await tx.models.delete("m_x")
        await tx.removals.insert(removal)
        forgetting = asyncio.create_task(forget())
        await until(lambda: _waits_for_a_lock(database) if not forgetting.done() else True)
    assert not await forgetting


async def _waits_for_a_lock(database: Database) -> bool:
    connection = await asyncpg.connect(database.url)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    finally:
        await connection.close()


async def test_a_database_that_is_away_is_unavailable() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ServiceUnavailable):
        await away.open()


async def test_connections_that_broke_are_a_passing_failure_or_replaced(
    database: Database,
) -> None:
    # The driver tells it in another way at each turn of the loop until it has heard all of it.
    for turns in range(6):
        async with database.transaction() as tx:
            await tx.models.get("m_x")
        _terminate_all(database.url)
        for _ in range(turns):
            await asyncio.sleep(0)
        with contextlib.suppress(ServiceUnavailable):
            async with database.transaction() as tx:
                assert await tx.models.get("m_x") is None


def _terminate_all(url: str) -> None:
    async def terminate() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND datname = current_database()
            """
        )
        await connection.close()

    # From a thread that is waited for, so that the loop of the test hears of it later.
    thread = threading.Thread(target=lambda: asyncio.run(terminate()))
    thread.start()
    thread.join()


async def test_what_is_old_is_forgotten(database: Database) -> None:
    at = now()
    later = at + timedelta(days=30)
    async with database.transaction() as tx:
        assert await tx.ledger.first_handling("one", "x")
        assert not await tx.ledger.first_handling("one", "x")
        await tx.ledger.keep_answer("a", "k", "r", {}, at)
        await tx.ledger.count_load("a", at)
        await tx.ledger.void_tasks(["task_1"], "default", at)
    async with database.transaction() as tx:
        await tx.ledger.forget(handled=later, answers=later, void=later)
        assert await tx.ledger.first_handling("one", "x")
        assert await tx.ledger.get_answer("a", "k") is None
        assert await tx.ledger.loads_since("a", at - timedelta(hours=1)) == (0, None)
        assert await tx.ledger.recently_void("default", at - timedelta(hours=1)) == []
