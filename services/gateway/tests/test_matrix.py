"""Every cell of the permission matrix in ``docs/security.md``, tried on the doors themselves."""

import asyncio
from pathlib import Path

import httpx
import nats
import pytest
import pytest_asyncio
from nats.errors import Error as NatsError
from render import gateway_app
from security import CALLERS, LINK, NO, NOBODY, SUBSCRIBES, USERS, YES, rows, written_matrix
from websockets.asyncio.client import connect

from mistudio_contracts import events
from mistudio_contracts.states import ModelStatus, Scope
from mistudio_servicekit.provision import provision
from mistudio_testkit.accounts import Accounts, deployed_accounts

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
WRITTEN = written_matrix(PAGE.read_text(encoding="utf-8"))
ROWS = {row.door: row for row in rows(gateway_app())}
ROUTES = {door: cells for door, cells in WRITTEN.items() if " /" in door}
SUBSCRIPTIONS = {door: cells for door, cells in WRITTEN.items() if door.startswith("/ws ")}
ON_BUS = {door: cells for door, cells in WRITTEN.items() if door not in {**ROUTES, **SUBSCRIPTIONS}}
ORDER = {"catalog": 0, "loader": 1, "extractor": 2, "gateway": 3, "client": 4, "provision": 5}
"""The order of the users: the last one may delete what the others are tried on."""

SHOWN = {
    "models": events.ModelRegistered(model_id="m_1", status=ModelStatus.PENDING, name="n"),
    "datasets": events.DatasetReady(
        dataset_id="ds_1", status="ready", sample_count=1, fingerprint="ab" * 8
    ),
    "extractions": events.ExtractionCancelled(
        extraction_id="ext_1", model_id="m_1", status="cancelled"
    ),
    "devices": events.DeviceStatus(
        device_id="dev_1",
        pool="default",
        kind="cpu",
        name="one",
        online=True,
        memory_total_bytes=2,
        memory_budget_bytes=1,
        memory_used_bytes=0,
        resident_models=[],
    ),
}
"""An event that each kind of subscription is sent."""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    with deployed_accounts(tmp_path_factory.mktemp("accounts")) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def guarded(accounts: Accounts, kit):
    """A gateway on a bus with the deployed users, and who answers it."""
    await provision(accounts.url("provision"), ("default",))
    async with (
        kit.running_catalog(accounts.url("catalog"), ("catalog",)) as catalog,
        kit.running_catalog(accounts.url("extractor"), ("extractor",)) as extractor,
        # All roles ask at once: on a busy machine the last waits for longer than a user would.
        kit.running_gateway(accounts.url("gateway"), rpc_timeout_seconds=25.0) as gateway,
    ):
        yield gateway, catalog, extractor


def credentials(kit, accounts):
    """Return what each role sends in its Authorization header."""
    held = {role: {} for role in (NOBODY, LINK)}
    for scope in Scope:
        held[str(scope)] = {"Authorization": f"Bearer {kit.token(scope)}"}
    for user in USERS:
        held[user] = {"Authorization": f"Bearer {accounts.password(user)}"}
    return held


def concrete(path):
    for name, value in (
        ("{path:path}", "manifest.json"),
        ("{model_id}", "m_1"),
        ("{extraction_id}", "ext_1"),
        ("{dataset_id}", "ds_1"),
        ("{cache_id}", "act_1"),
        ("{sequence}", "1"),
    ):
        path = path.replace(name, value)
    return path


def test_the_table_is_complete():
    assert set(WRITTEN) == set(ROWS), "run make contracts"
    assert len(ROUTES) > 40
    assert len(SUBSCRIPTIONS) == len(SHOWN)
    assert len(ON_BUS) > 120
    for door, cells in WRITTEN.items():
        assert list(cells) == [*CALLERS, *USERS], door


async def test_every_role_tries_every_route(guarded, kit, accounts):
    gateway, catalog, extractor = guarded
    held = credentials(kit, accounts)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        made = await client.post(
            "/api/activations/act_1/download-link", headers=held[str(Scope.READ)]
        )
        ticket = httpx.URL(made.json()["url"]).params["ticket"]

        async def attempt(door, role):
            method, path = door.split()
            # Who has no link has a token alone, and where a link would be says so.
            given = ticket if role == LINK else held[role].get("Authorization", "none")[-20:]
            params = {"ticket": given} if path.endswith("/archive") else None
            answer = await client.request(method, concrete(path), headers=held[role], params=params)
            assert answer.status_code < 500, (door, role, answer.text)
            return door, role, NO if answer.status_code in (401, 403) else YES

        catalog.asked.clear()
        extractor.asked.clear()
        shut = [
            attempt(door, role)
            for door, cells in ROUTES.items()
            for role, cell in cells.items()
            if cell == NO
        ]
        found = await asyncio.gather(*shut)
        assert catalog.asked == extractor.asked == [], (
            "whoever may not has nothing read or done for him"
        )
        opened = [
            attempt(door, role)
            for door, cells in ROUTES.items()
            for role, cell in cells.items()
            if cell != NO
        ]
        found += await asyncio.gather(*opened)
    assert [each for each in found if ROUTES[each[0]][each[1]] != each[2]] == []


async def test_every_role_tries_every_subscription(guarded, kit, accounts):
    gateway, catalog, _ = guarded
    tokens = {
        role: header.get("Authorization") for role, header in credentials(kit, accounts).items()
    }

    async def attempt(door, role):
        kind = door.split()[1]
        nothing = {name: False if name == "devices" else [] for name in SHOWN}
        wanted = {**nothing, kind: True if kind == "devices" else None}
        offered = ["mistudio.v1"]
        if tokens[role] is not None:
            offered.append("bearer." + tokens[role].split()[1])
        async with connect(gateway.ws, subprotocols=offered) as socket:
            listener = kit.listener(socket)
            if len(offered) == 1:
                await listener.send(subscribe=wanted)
            first = await listener.next()
            if first["type"] == "error":
                await asyncio.wait_for(socket.wait_closed(), 15)
                assert socket.close_code in (4401, 4403)
                return door, role, NO
            raise AssertionError(f"{role} was sent {first} before it asked")

    async def listen(door, role):
        kind = door.split()[1]
        nothing = {name: False if name == "devices" else [] for name in SHOWN}
        wanted = {**nothing, kind: True if kind == "devices" else None}
        async with connect(
            gateway.ws, subprotocols=["mistudio.v1", "bearer." + tokens[role].split()[1]]
        ) as socket:
            listener = kit.listener(socket)
            await listener.subscribe(**wanted)
            joined.add((door, role))
            heard = await listener.next()
            return door, role, YES if heard["type"].startswith(kind.rstrip("s")) else heard["type"]

    joined = set()
    shut = [(d, r) for d, cells in SUBSCRIPTIONS.items() for r, cell in cells.items() if cell == NO]
    opened = [
        (d, r) for d, cells in SUBSCRIPTIONS.items() for r, cell in cells.items() if cell != NO
    ]
    found = await asyncio.gather(*(attempt(*each) for each in shut))
    hearing = asyncio.gather(*(listen(*each) for each in opened))
    await kit.until(lambda: len(joined) == len(opened) or hearing.done())
    for event in SHOWN.values():
        await catalog.publish(event)
    found += await hearing
    assert [each for each in found if SUBSCRIPTIONS[each[0]][each[1]] != each[2]] == []
    assert len(found) == len(shut) + len(opened)


@pytest.mark.parametrize("user", sorted(USERS, key=ORDER.__getitem__))
async def test_every_user_tries_every_subject(guarded, accounts, kit, user):
    """What the server refuses is exactly what the table does not show."""
    refused = set()

    async def note(error):
        refused.add(str(error).lower())

    connection = await nats.connect(
        accounts.url(user), inbox_prefix=f"_INBOX_{user}", error_cb=note, pending_size=8 << 20
    )
    expected = set()
    for door, cells in ON_BUS.items():
        tries = ROWS[door].tries
        may = set(tries) if cells[user] == "all" else set(cells[user].split()) - {NO}
        assert may <= set(tries), door
        for word, each in tries.items():
            if each.subscribes:
                await connection.subscribe(each.subject)
                kind = "subscription"
            else:
                await connection.publish(each.subject, b"")
                kind = "publish"
            if word not in may:
                expected.add(f'nats: permissions violation for {kind} to "{each.subject}"'.lower())
    # The server answers in order; what it refused is told to us a moment later, in order too.
    await connection.flush()
    await kit.until(lambda: len(refused) >= len(expected))
    await connection.flush()
    await connection.close()
    assert refused == expected


@pytest.mark.parametrize("scope", [str(scope) for scope in Scope])
async def test_an_access_token_opens_no_subject(guarded, accounts, kit, scope):
    """So that every cell of a scope beside a subject is what the table says: nothing."""
    assert {cells[scope] for cells in ON_BUS.values()} == {NO}
    token = kit.token(Scope(scope))
    for options in ({"token": token}, {"user": "client", "password": token}):
        with pytest.raises(NatsError, match=r"(?i)authorization"):
            await nats.connect(
                accounts.address, allow_reconnect=False, max_reconnect_attempts=0, **options
            )


@pytest.mark.parametrize("role", [NOBODY, LINK])
async def test_without_a_password_the_bus_is_closed(guarded, accounts, role):
    assert {cells[role] for cells in ON_BUS.values()} == {NO}
    with pytest.raises(NatsError, match=r"(?i)authorization"):
        await nats.connect(accounts.address, allow_reconnect=False, max_reconnect_attempts=0)


def test_only_subscriptions_are_heard():
    """The letter S stands for subscribing and no other does, as the test above takes it."""
    for row in ROWS.values():
        for word, each in row.tries.items():
            assert each.subscribes == (word == SUBSCRIBES)
