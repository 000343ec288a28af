"""Render what ``docs/security.md`` shows of the code: who may what, and what every stream takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from mistudio_contracts import topology
from mistudio_contracts.frames import Selection
from mistudio_contracts.sites import CENTRE
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import ALL, dead_letter
from mistudio_gateway.handlers import archives
from mistudio_gateway.rest.auth import IMPLIED
from mistudio_gateway.rest.operations import SCOPE
from mistudio_servicekit.permissions import User, users

POOL = "default"
EDGE = "edge"
"""Stands for the JetStream domain of any edge."""

NOBODY, LINK = "nobody", "link"
CALLERS = (NOBODY, LINK, *(str(scope) for scope in Scope))
USERS = tuple(user.name for user in users([POOL]))
ROLES = (*CALLERS, *USERS)
YES, NO = "yes", "·"

BUCKET = f"OBJ_{topology.UPLOADS_BUCKET}"
STREAMS = (*(stream.name for stream in topology.streams()), BUCKET)
OF_A_STREAM = (
    "$JS.API.STREAM.INFO.{}",
    "$JS.API.STREAM.MSG.GET.{}",
    "$JS.API.DIRECT.GET.{}",
    "$JS.API.DIRECT.GET.{}.x",
    "$JS.API.STREAM.CREATE.{}",
    "$JS.API.STREAM.UPDATE.{}",
    "$JS.API.STREAM.DELETE.{}",
    "$JS.API.STREAM.PURGE.{}",
    "$JS.API.STREAM.MSG.DELETE.{}",
    "$JS.API.STREAM.SNAPSHOT.{}",
    "$JS.API.STREAM.RESTORE.{}",
    "$JS.API.CONSUMER.LIST.{}",
    "$JS.API.CONSUMER.CREATE.{}",
    "$JS.API.CONSUMER.CREATE.{}.x",
    "$JS.API.CONSUMER.DURABLE.CREATE.{}.x",
    "$JS.API.CONSUMER.INFO.{}.x",
    "$JS.API.CONSUMER.DELETE.{}.x",
    "$JS.API.CONSUMER.MSG.NEXT.{}.x",
    "$JS.ACK.{}.x",
    "$JS.FC.{}.x",
)
"""Questions to JetStream about a stream: who may ask them is told by the names of the streams."""

ELSEWHERE = (
    *(each.replace("$JS.API.", f"$JS.{CENTRE}.API.") for each in OF_A_STREAM if ".API." in each),
    *(each.replace("$JS.API.", f"$JS.{EDGE}.API.") for each in OF_A_STREAM if ".API." in each),
)
OTHERS = (
    "$JS.API.STREAM.NAMES",
    f"$JS.{CENTRE}.API.STREAM.NAMES",
    "$JS.API.INFO",
    f"$O.{topology.UPLOADS_BUCKET}.M.x",
    f"$O.{topology.UPLOADS_BUCKET}.C.x",
    "dead.x",
    *(f"_INBOX_{user}.x" for user in USERS),
    "$SYS.REQ.SERVER.PING",
)
"""Other subjects of the bus itself."""

PUBLISHES, SUBSCRIBES, ASKS, PULLS, ACKNOWLEDGES, BURIES = "P", "S", "I", "N", "A", "D"


@dataclass(frozen=True)
class Try:
    """Something that a bus user may try: to publish on a subject, or to subscribe to it."""

    subject: str
    subscribes: bool = False

    def allowed(self, user: User) -> bool:
        """Whether the user's permissions, as they are written, allow it."""
        granted = user.subscribe if self.subscribes else user.publish
        return any(matches(pattern, self.subject) for pattern in granted)


@dataclass(frozen=True)
class Row:
    """A door, and what of it is open to each role.

    ``cells`` are the words of the table; ``tries`` maps each word to what it allows on the bus,
    and is empty for doors of the gateway.
    """

    door: str
    cells: dict[str, str]
    tries: dict[str, Try] = field(default_factory=dict)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a pattern of NATS names."""
    wanted, named = pattern.split("."), subject.split(".")
    for at, part in enumerate(wanted):
        if part == ">":
            return len(named) > at
        if at >= len(named) or part not in ("*", named[at]):
            return False
    return len(named) == len(wanted)


def rows(app: FastAPI) -> list[Row]:
    """Return every row of the table.

    Raises
    ------
    ValueError
        A permission of a bus user is not tried by any row.
    """
    on_bus = [*_subjects(), *_questions(), *_others()]
    tried = [each for row in on_bus for each in row.tries.values()]
    for user in users([POOL]):
        for subscribes, granted in ((False, user.publish), (True, user.subscribe)):
            for pattern in granted:
                if not any(
                    each.subscribes == subscribes and matches(pattern, each.subject)
                    for each in tried
                ):
                    raise ValueError(f"no row shows that {user.name} is given {pattern}")
    return [*_routes(app), *_subscriptions(), *on_bus]


def _routes(app: FastAPI) -> list[Row]:
    found = []
    for route in app.routes:
        if isinstance(route, Mount):
            found.append(Row("GET /", _gate(CALLERS)))
        elif isinstance(route, APIRoute):
            needed = (route.openapi_extra or {}).get(SCOPE)
            opens = (LINK,) if route.path == archives.PATH else CALLERS
            if needed is not None:
                opens = tuple(str(scope) for scope in Scope if scope in IMPLIED[Scope(needed)])
            found += [
                Row(f"{method} {route.path}", _gate(opens))
                for method in sorted(route.methods or ())
            ]
        elif isinstance(route, Route):
            found.append(Row(f"GET {route.path}", _gate(CALLERS)))
    # A build of the web UI is there on some machines and not on others.
    if not any(row.door == "GET /" for row in found):
        found.append(Row("GET /", _gate(CALLERS)))
    return sorted(found, key=lambda row: (row.door.split()[1], row.door))


def _subscriptions() -> list[Row]:
    opens = tuple(str(scope) for scope in Scope if scope in IMPLIED[Scope.READ])
    kinds = [name for name in Selection.model_fields if name not in {"after", "last", "stream"}]
    return [Row(f"/ws {kind}", _gate(opens)) for kind in kinds]


def _gate(opens: Iterable[str]) -> dict[str, str]:
    """Return the cells of a door of the gateway, which no password of the bus opens."""
    to_all = set(opens) == set(CALLERS)
    return {role: YES if role in opens or to_all else NO for role in ROLES}


def _subjects() -> list[Row]:
    durables = {each.subject: each for each in topology.consumers((POOL,))}
    found = []
    for subject in ALL:
        name = subject.name(POOL)
        tries = {PUBLISHES: Try(name), SUBSCRIBES: Try(name, subscribes=True)}
        if name in durables:
            queue = f"{durables[name].stream}.{durables[name].name}"
            tries |= {
                ASKS: Try(f"$JS.API.CONSUMER.INFO.{queue}"),
                PULLS: Try(f"$JS.API.CONSUMER.MSG.NEXT.{queue}"),
                ACKNOWLEDGES: Try(f"$JS.ACK.{queue}.1.1.1.1.1"),
                BURIES: Try(dead_letter(name)),
            }
        found.append(_row(name, tries))
    return found


def _questions() -> list[Row]:
    found = []
    for question in (*OF_A_STREAM, *ELSEWHERE):
        tries = {stream: Try(question.format(stream)) for stream in STREAMS}
        row = _row(question.format("STREAM"), tries)
        # Of another domain those alone that somebody may ask: the others are refused like these.
        if question in OF_A_STREAM or any(cell != NO for cell in row.cells.values()):
            found.append(row)
    return found


def _others() -> list[Row]:
    both = [
        _row(name, {PUBLISHES: Try(name), SUBSCRIBES: Try(name, subscribes=True)})
        for name in OTHERS
    ]
    return [*both, _row(">", {SUBSCRIBES: Try(">", subscribes=True)})]


def _row(door: str, tries: dict[str, Try]) -> Row:
    cells = dict.fromkeys(ROLES, NO)
    for user in users([POOL]):
        may = [word for word, each in tries.items() if each.allowed(user)]
        every = len(may) == len(tries) and set(tries) == set(STREAMS)
        cells[user.name] = "all" if every else " ".join(may) or NO
    return Row(door, cells, tries)


def matrix(app: FastAPI) -> str:
    """Return the table of who may what."""
    lines = [_line(["", *(f"`{role}`" for role in ROLES)]), _line(["---"] * (len(ROLES) + 1))]
    for row in rows(app):
        lines.append(_line([f"`{row.door}`", *(row.cells[role] for role in ROLES)]))
    return "\n".join(lines)


def streams() -> str:
    """Return the table of what every stream takes, and what happens when it is full."""
    lines = [
        _line(["stream", "keeps", "at most", "for", "when it is full"]),
        _line(["---"] * 5),
    ]
    for stream in topology.streams():
        lines.append(
            _line(
                [
                    f"`{stream.name}`",
                    stream.summary,
                    _bytes(stream.max_bytes),
                    _time(stream.max_age),
                    FULL[stream.discard],
                ]
            )
        )
    lines.append(
        _line(
            [
                f"`{BUCKET}`",
                "Uploads on their way from the gateway to the loader.",
                _bytes(topology.UPLOADS_MAX_BYTES),
                _time(topology.UPLOADS_MAX_AGE),
                FULL["new"],
            ]
        )
    )
    return "\n".join(lines)


def consumers() -> str:
    """Return the table of what durable consumers take, one line for what is alike."""
    alike: dict[tuple[float, int, int, int], list[str]] = {}
    for each in topology.consumers((POOL,)):
        bounds = (each.ack_wait, each.max_deliver, each.max_ack_pending, each.max_waiting)
        alike.setdefault(bounds, []).append(each.name)
    titles = [
        "consumers",
        "unheard of for",
        "deliveries",
        "handed out at once",
        "pulls open at once",
    ]
    lines = [_line(titles), _line(["---"] * 5)]
    for (wait, deliver, pending, waiting), names in alike.items():
        counts = [f"{number:,}" for number in (deliver, pending, waiting)]
        lines.append(_line([f"{len(names)}, one a queue", _time(wait), *counts]))
    return "\n".join(lines)


FULL = {
    "new": "what is published is refused; its publisher is told, keeps it, and tries again",
    "old": "the oldest leaves",
}


def _bytes(count: int) -> str:
    gib, mib = 1024**3, 1024**2
    return f"{count // gib} GiB" if count % gib == 0 else f"{count // mib} MiB"


def _time(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("second", 1)):
        if seconds and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "until it is handled"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_BLOCK = re.compile(r"(<!-- rendered: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(written: str, app: FastAPI) -> str:
    """Return the page with its rendered blocks as the code has them now.

    Raises
    ------
    KeyError
        A block has a name that nothing renders.
    """
    blocks: dict[str, Callable[[], str]] = {
        "matrix": lambda: matrix(app),
        "streams": streams,
        "consumers": consumers,
    }
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]()}\n{found[3]}", written)


def written_matrix(text: str) -> dict[str, dict[str, str]]:
    """Return the cells of the table as a page holds them: by door, then by role."""
    found = next(match for match in _BLOCK.finditer(text) if match[2] == "matrix")
    head, _, *lines = found[0].splitlines()[1:-1]
    roles = [cell.strip("`") for cell in _cells(head)[1:]]
    return {
        _cells(line)[0].strip("`"): dict(zip(roles, _cells(line)[1:], strict=True))
        for line in lines
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
