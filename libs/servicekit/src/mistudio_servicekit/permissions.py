"""Bus users and what each may do: ``infra/nats/accounts.conf``, from the contract's table.

A service may publish its own subjects, pull and acknowledge its own durable consumers, hear its
own requests and answer them, and put what it cannot handle into the DEAD stream; nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mistudio_contracts import topology
from mistudio_contracts.sites import CENTRE
from mistudio_contracts.subjects import (
    ALL,
    CONTROL_CANCEL,
    LIVE_LOAD,
    Kind,
    Subject,
    dead_letter,
    of_kind,
)

SERVICES = ("catalog", "loader", "extractor", "gateway")

_BUCKET = f"OBJ_{topology.UPLOADS_BUCKET}"
_ALSO_PUBLISHES: dict[str, tuple[Subject, ...]] = {
    "loader": (LIVE_LOAD,),
    "extractor": (LIVE_LOAD,),
}
_ALSO_HEARS: dict[str, tuple[Subject, ...]] = {
    "loader": (CONTROL_CANCEL,),
    "extractor": (CONTROL_CANCEL,),
}
"""Subjects that the table gives to anyone, and which of the services that is."""

_HEAD = """\
# Bus users, one a service, each with just its subjects. Rendered from mistudio_contracts.subjects
# by `python -m mistudio_servicekit accounts`; with more pools: `--pools default,lab`.
# Passwords come from the environment of the server. Begin each with a letter: a value that looks
# like a number is read as one.
"""


@dataclass
class User:
    """A bus user. ``answers`` lets it reply to requests it receives."""

    name: str
    publish: list[str] = field(default_factory=list)
    subscribe: list[str] = field(default_factory=list)
    answers: bool = False


def users(pools: Sequence[str]) -> list[User]:
    """Return every bus user: the services, the provisioner, and ``client`` for other services."""
    found = [_service(name, pools) for name in SERVICES]
    _add_uploads(next(user for user in found if user.name == "gateway"), reads=False)
    _add_uploads(next(user for user in found if user.name == "loader"), reads=True)
    _add_replay(next(user for user in found if user.name == "gateway"))
    _add_watching(next(user for user in found if user.name == "catalog"))
    _add_dead_letters(next(user for user in found if user.name == "catalog"), pools)
    _add_edge(next(user for user in found if user.name == "catalog"))
    found.append(
        User(
            "provision",
            # The streams that dead letters are swept from and replayed to.
            publish=[
                "$JS.API.>",
                "dead.>",
                *_names(of_kind(Kind.COMMAND, Kind.WORK, Kind.REPORT), pools),
            ],
            subscribe=["_INBOX_provision.>"],
        )
    )
    found.append(
        User(
            "client",
            publish=_names(of_kind(Kind.COMMAND), pools),
            subscribe=["_INBOX_client.>", *_names(of_kind(Kind.EVENT, Kind.PROGRESS), pools)],
        )
    )
    return found


def _service(name: str, pools: Sequence[str]) -> User:
    publishes = [s for s in ALL if s.publisher == name] + list(_ALSO_PUBLISHES.get(name, ()))
    hears = [s for s in ALL if s.reader == name and s.stream is None]
    user = User(
        name,
        publish=_names(publishes, pools),
        subscribe=[f"_INBOX_{name}.>", *_names([*hears, *_ALSO_HEARS.get(name, ())], pools)],
        answers=any(s.kind is Kind.REQUEST for s in hears),
    )
    for consumer in topology.consumers(tuple(pools)):
        if consumer.name.startswith(f"{name}-"):
            user.publish += [
                f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}",
                f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}",
                f"$JS.ACK.{consumer.stream}.{consumer.name}.>",
                dead_letter(consumer.subject),
            ]
    return user


def _add_uploads(user: User, *, reads: bool) -> None:
    user.publish += [
        f"$JS.API.STREAM.INFO.{_BUCKET}",
        f"$JS.API.STREAM.MSG.GET.{_BUCKET}",
        f"$JS.API.DIRECT.GET.{_BUCKET}.>",
        f"$JS.API.STREAM.PURGE.{_BUCKET}",
        f"$O.{topology.UPLOADS_BUCKET}.M.>",
    ]
    if reads:
        # The client library asks by subject for the stream's name before it reads.
        user.publish += ["$JS.API.STREAM.NAMES", *_ordered(_BUCKET)]
        # Where this is an edge, the bucket is at the centre.
        user.publish += [
            each.replace("$JS.API.", f"$JS.{CENTRE}.API.")
            for each in user.publish
            if each == "$JS.API.STREAM.NAMES" or (each.startswith("$JS.API.") and _BUCKET in each)
        ]
    else:
        user.publish.append(f"$O.{topology.UPLOADS_BUCKET}.C.>")


def _add_replay(user: User) -> None:
    """The gateway follows events and progress with consumers of its own."""
    for stream in ("EVENTS", "PROGRESS"):
        user.publish += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            *_ordered(stream),
        ]


def _add_watching(user: User) -> None:
    """The catalog looks at every queue: for lost orders, and for how long what waits has waited."""
    for stream in ("COMMANDS", "WORK", "REPORTS"):
        user.publish += [f"$JS.API.CONSUMER.LIST.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}"]
    user.publish += ["$JS.API.CONSUMER.INFO.WORK.*", "$JS.API.STREAM.INFO.DEAD"]


def _add_dead_letters(user: User, pools: Sequence[str]) -> None:
    """An administrator reads dead letters through the catalog, and has them put back."""
    user.publish += [
        "$JS.API.STREAM.MSG.GET.DEAD",
        "$JS.API.STREAM.MSG.DELETE.DEAD",
        *_names(of_kind(Kind.COMMAND, Kind.REPORT), pools),
    ]


def _add_edge(user: User) -> None:
    """Where models run at an edge, the catalog looks at the queues there, whatever its name."""
    user.publish += [
        "$JS.API.STREAM.INFO.WORK",
        "$JS.*.API.CONSUMER.INFO.WORK.*",
        "$JS.*.API.STREAM.INFO.REPORTS",
    ]


def _ordered(stream: str) -> list[str]:
    return [
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.INFO.{stream}.*",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.ACK.{stream}.>",
        f"$JS.FC.{stream}.>",
    ]


def _names(subjects: Iterable[Subject], pools: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(subject.name(pool) for subject in subjects for pool in pools))


def render_accounts(pools: Sequence[str] = ("default",)) -> str:
    """Return the accounts file of a NATS server, the same for the same contract."""
    lines = [
        "accounts {",
        "  MISTUDIO {",
        "    jetstream: enabled",
        "    users: [",
        *(_render_user(user) for user in users(pools)),
        "    ]",
        "  }",
        "}",
    ]
    return _HEAD + "\n" + "\n".join(lines) + "\n"


def _render_user(user: User) -> str:
    lines = [
        "      {",
        f"        user: {user.name}",
        f"        password: $NATS_{user.name.upper()}_PASSWORD",
        "        permissions {",
        *_render_list("publish", user.publish),
        *_render_list("subscribe", user.subscribe),
    ]
    if user.answers:
        lines.append('          allow_responses: { max: 1, expires: "5m" }')
    return "\n".join([*lines, "        }", "      }"])


def _render_list(name: str, subjects: list[str]) -> list[str]:
    return [
        f"          {name}: {{ allow: [",
        *(f'            "{subject}"' for subject in subjects),
        "          ] }",
    ]
