"""What a seed stands for: who asks for what and when, and what breaks meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

SECONDS = 3.5
"""How long clients ask and things break; all is mended then, and the stack comes to rest."""

SLOTS = 3
"""Models that clients speak of by number; each slot holds the model registered last."""

CHECKPOINTS = DATASETS = 2
LAYERS = 4
PEOPLE = ("ada", "bob", "bus")
"""Two who ask over HTTP, and one who publishes on the bus."""

WATCHERS = ("steady", "restless")
"""WebSocket clients: one that stays, one that leaves and comes back as the seed says."""

SERVICES = ("catalog", "loader", "extractor", "extractor2", "gateway")
BUS, DATABASE = "nats", "postgres"
LINKS = (*((service, BUS) for service in SERVICES), ("bus", BUS), ("catalog", DATABASE))
"""Each pair that speaks with one another, by the one who connects; ``bus`` is the client."""


class Verb(str, Enum):
    """What a client asks for."""

    REGISTER = "register"
    LOAD = "load"
    UNLOAD = "unload"
    CANCEL_LOAD = "cancel load"
    DELETE = "delete"
    EXTRACT = "extract"
    CANCEL = "cancel"
    EVICT = "evict"


class Fault(str, Enum):
    """What breaks. ``BUS_LOST`` takes JetStream's directory away; the others lose nothing."""

    KILL = "kill"
    PAUSE = "pause"
    CUT = "cut"
    HOLD = "hold"
    SLOW = "slow"
    CLOCK = "clock"
    BUS_RESTART = "restart the bus"
    BUS_KILL = "kill the bus"
    BUS_LOST = "lose the bus"
    DATABASE_RESTART = "restart the database"
    DATABASE_KILL = "kill the database"
    FULL_STORE = "fill the stores' disk"
    FULL_ARTIFACTS = "fill the artifacts' disk"
    NODE_KILL = "kill a bus node"
    NODE_PAUSE = "pause a bus node"
    NODE_LOST = "lose a bus node"


_WEIGHTS = {
    Verb.EXTRACT: 45,
    Verb.LOAD: 12,
    Verb.UNLOAD: 10,
    Verb.CANCEL: 10,
    Verb.EVICT: 8,
    Verb.DELETE: 6,
    Verb.CANCEL_LOAD: 5,
    Verb.REGISTER: 4,
}

_ANYWHERE = {
    Fault.KILL: 6,
    Fault.PAUSE: 4,
    Fault.CUT: 3,
    Fault.HOLD: 3,
    Fault.SLOW: 2,
    Fault.CLOCK: 3,
    Fault.DATABASE_RESTART: 1,
    Fault.DATABASE_KILL: 2,
    Fault.FULL_STORE: 2,
    Fault.FULL_ARTIFACTS: 1,
}
_ONE_SERVER = {**_ANYWHERE, Fault.BUS_RESTART: 1, Fault.BUS_KILL: 2, Fault.BUS_LOST: 2}
_NODES = {Fault.NODE_KILL: 4, Fault.NODE_PAUSE: 3, Fault.NODE_LOST: 3}

_ONCE = {
    Fault.BUS_RESTART: "bus",
    Fault.BUS_KILL: "bus",
    Fault.BUS_LOST: "bus",
    Fault.NODE_KILL: "bus",
    Fault.NODE_PAUSE: "bus",
    Fault.NODE_LOST: "bus",
    Fault.DATABASE_RESTART: "database",
    Fault.DATABASE_KILL: "database",
    Fault.FULL_STORE: "stores",
    Fault.FULL_ARTIFACTS: "artifacts",
}
"""Faults of which a schedule has one of a kind, since two at once would be one."""


@dataclass(frozen=True)
class Deed:
    """Something a client asks for.

    Parameters
    ----------
    at
        Seconds after the beginning.
    client
        One of :data:`PEOPLE`.
    verb
        What.
    slot
        Of the model.
    checkpoint, dataset
        Which of them, where the verb needs one.
    layers
        To extract.
    pick
        Which of several, where the verb needs one: a share of their number.
    """

    at: float
    client: str
    verb: Verb
    slot: int
    checkpoint: int
    dataset: int
    layers: tuple[int, ...]
    pick: float

    def __str__(self) -> str:
        on = {
            Verb.REGISTER: f"checkpoint {self.checkpoint} as model {self.slot}",
            Verb.EXTRACT: f"layers {list(self.layers)} of model {self.slot}, "
            f"dataset {self.dataset}",
            Verb.CANCEL: f"an extraction ({self.pick:.2f})",
            Verb.EVICT: f"a cache ({self.pick:.2f})",
        }
        told = on.get(self.verb, f"model {self.slot}")
        return f"{self.at:6.3f}  {self.client:8} {self.verb.value} {told}"


@dataclass(frozen=True)
class Strike:
    """Something that breaks, and is mended after a while.

    Parameters
    ----------
    at, lasts
        Seconds after the beginning, and until it is mended.
    fault
        What.
    target
        A process, a link (``catalog-postgres``) or nothing, as the fault has one.
    amount
        Seconds by which a link is slow or a clock jumps.
    """

    at: float
    lasts: float
    fault: Fault
    target: str = ""
    amount: float = 0.0

    def __str__(self) -> str:
        by = f" by {self.amount:+.3f} s" if self.amount else ""
        what = f"{self.fault.value} {self.target}".strip()
        return f"{self.at:6.3f}  nemesis  {what}{by}, for {self.lasts:.3f} s"


@dataclass(frozen=True)
class Schedule:
    """All that one seed stands for.

    Parameters
    ----------
    seed
        Which.
    deeds, strikes
        In the order of their time.
    absences
        When the restless watcher leaves, and for how many seconds.
    """

    seed: int
    deeds: tuple[Deed, ...]
    strikes: tuple[Strike, ...]
    absences: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        away = [f"{at:6.3f}  restless leaves for {lasts:.3f} s" for at, lasts in self.absences]
        lines = sorted([*map(str, self.deeds), *map(str, self.strikes), *away])
        return "\n".join([f"seed {self.seed}", *lines])

    @property
    def loses_the_bus(self) -> bool:
        """Whether what the streams held is gone, and may be missing without blame."""
        return any(strike.fault is Fault.BUS_LOST for strike in self.strikes)


def draw(seed: int, nodes: int = 1) -> Schedule:
    """Return the schedule of a seed; the same for ever, on a bus of so many nodes."""
    chance = random.Random(seed)
    deeds = sorted(_deeds(chance), key=lambda deed: deed.at)
    strikes = sorted(_strikes(chance, nodes), key=lambda strike: strike.at)
    absences = [
        (chance.uniform(0.2, SECONDS), chance.uniform(0.05, 1.0))
        for _ in range(chance.randrange(3))
    ]
    return Schedule(seed, tuple(deeds), tuple(strikes), tuple(sorted(absences)))


def _deeds(chance: random.Random) -> list[Deed]:
    begun = []
    for slot in range(SLOTS):
        at, who = chance.uniform(0.0, 0.1), chance.choice(PEOPLE)
        begun += [
            _deed(chance, at, "ada", Verb.REGISTER, slot),
            _deed(chance, at + 0.15, who, Verb.LOAD, slot),
        ]
    others = [
        _deed(
            chance,
            chance.uniform(0.6, SECONDS),
            chance.choice(PEOPLE),
            chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0],
            chance.randrange(SLOTS),
        )
        for _ in range(chance.randrange(12, 20))
    ]
    return begun + others


def _deed(chance: random.Random, at: float, client: str, verb: Verb, slot: int) -> Deed:
    # The bus has no command that registers.
    client = "ada" if verb is Verb.REGISTER else client
    return Deed(
        at=round(at, 3),
        client=client,
        verb=verb,
        slot=slot,
        checkpoint=chance.randrange(CHECKPOINTS),
        dataset=chance.randrange(DATASETS),
        layers=tuple(sorted(chance.sample(range(LAYERS), chance.randrange(1, LAYERS)))),
        pick=chance.random(),
    )


def _strikes(chance: random.Random, nodes: int) -> list[Strike]:
    found: list[Strike] = []
    hit: set[str] = set()
    for number in range(chance.randrange(2, 5)):
        # Of a cluster a node is lost each time, and what else breaks is drawn.
        weights = _ONE_SERVER if nodes == 1 else _ANYWHERE if number else _NODES
        fault = chance.choices(list(weights), list(weights.values()))[0]
        strike = _strike(chance, fault, nodes)
        about = _ONCE.get(fault, f"{fault.value} {strike.target}")
        if about not in hit:
            hit.add(about)
            found.append(strike)
    return found


def _strike(chance: random.Random, fault: Fault, nodes: int) -> Strike:
    at, lasts = chance.uniform(0.2, SECONDS - 0.2), chance.uniform(0.1, 1.5)
    target, amount = "", 0.0
    if fault in (Fault.KILL, Fault.CLOCK):
        target = chance.choice(SERVICES)
    elif fault is Fault.PAUSE:
        target = chance.choice((*SERVICES, DATABASE, *((BUS,) if nodes == 1 else ())))
    elif fault in (Fault.CUT, Fault.HOLD, Fault.SLOW):
        target = "-".join(chance.choice(LINKS))
    elif fault in (Fault.NODE_KILL, Fault.NODE_PAUSE, Fault.NODE_LOST):
        target = f"node {chance.randrange(nodes)}"
    if fault is Fault.SLOW:
        amount = chance.uniform(0.01, 0.2)
    elif fault is Fault.CLOCK:
        amount = chance.choice((-1, 1)) * _some_time(chance)
    return Strike(round(at, 3), round(lasts, 3), fault, target, round(amount, 3))


def _some_time(chance: random.Random) -> float:
    """Seconds to an hour, each size as likely as the others."""
    return float(chance.choice(_JUMPS)) * chance.uniform(0.5, 1.5)


_JUMPS: Sequence[float] = (1.0, 10.0, 60.0, 600.0, 3600.0)
