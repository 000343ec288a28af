"""What must hold of a history, whatever broke meanwhile. Pure: it reads, and complains."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from .draw import Verb
from .final import Final
from .history import Asked, Event, History, Outcome, Sitting

EXTRACTION_ENDS = {
    "extraction:completed": "completed",
    "extraction:failed": "failed",
    "extraction:cancelled": "cancelled",
}
REFUSED = "command:refused"


def complaints(history: History, final: Final) -> list[str]:
    """Return what is wrong with a history, each in a sentence; none is as it must be."""
    return [
        *_answers(history),
        *_extractions(history, final),
        *_models(history, final),
        *_commands(history),
        *_caches(history),
        *(
            complaint
            for name, sittings in history.watched.items()
            for complaint in _watched(name, sittings, history)
        ),
    ]


def _answers(history: History) -> list[str]:
    return [
        f"an internal error was answered: {asked}" for asked in history.asked if asked.status == 500
    ]


def _said(history: History) -> list[tuple[Event, ...]]:
    """The events in their order: of the stream that is no more, and of that which is."""
    return [history.gone, history.kept]


def _unbroken(events: Sequence[Event], begun: int) -> list[Event]:
    """Return what nothing is missing before: watchers had not yet heard all that was lost."""
    return [event for place, event in enumerate(events, begun + 1) if event.sequence == place]


def _extractions(history: History, final: Final) -> list[str]:
    """Each accepted extraction is over, and its end was said once and is the row's."""
    found: list[str] = []
    ends: dict[str, list[str]] = defaultdict(list)
    shards: Counter[tuple[str, int]] = Counter()
    begun: set[str] = set()
    for events in _said(history):
        for event in events:
            about = event.data.get("extraction_id", "")
            if event.kind in EXTRACTION_ENDS:
                ends[about].append(EXTRACTION_ENDS[event.kind])
            elif event.kind == "extraction:shard_completed":
                shards[about, event.data["shard_index"]] += 1
                if about in ends:
                    found.append(f"{about} went on after its end: {event}")
            elif event.kind == "extraction:queued":
                begun.add(about)
                if about in ends:
                    found.append(f"{about} began after its end: {event}")
    found += [
        f"shard {i} of {about} was counted {n} times" for (about, i), n in shards.items() if n > 1
    ]
    if history.lost is None:
        found += [f"{about} began, and was never said to be over" for about in begun - ends.keys()]
    status = {row.id: row.status for row in final.extractions}
    for about, said in ends.items():
        if len(said) > 1:
            found.append(f"{about} ended more than once: {said}")
        if about in status and status[about] != said[-1]:
            found.append(f"{about} is {status[about]}, and was said to be {said[-1]}")
    refused = {
        e.data["command_id"] for events in _said(history) for e in events if e.kind == REFUSED
    }
    for asked in _by(history, Verb.EXTRACT):
        if asked.outcome is not Outcome.ACCEPTED:
            continue
        about = asked.ids["extraction_id"]
        over = len(ends.get(about, ()))
        if asked.ids.get("command_id") in refused:
            if over or about in status:
                found.append(f"{about} was refused, and exists")
        elif not over and not _excused(history, asked):
            row = status.get(about, "not there")
            found.append(f"{about} was accepted, never said to be over, and is {row}")
    return found


def _excused(history: History, asked: Asked) -> bool:
    """Whether what was said of it, or the command itself, may have gone with the bus's disk."""
    return history.lost is not None and asked.begun <= history.lost


def _models(history: History, final: Final) -> list[str]:
    """What is said of each model is a way through its states, and ends where the row is."""
    found: list[str] = []
    gone: set[str] = set()
    for number, events in enumerate((_unbroken(history.gone, history.begun), history.kept)):
        # Of a stream that was made anew, nobody knows what came before.
        unknown = history.lost is not None and number == 1
        for model_id, told in _of_models(events).items():
            state = "anything" if unknown else "nothing"
            for event in told:
                after = _next(state, event)
                if after is None:
                    found.append(f"{model_id} was {state}, and then: {event}")
                    after = _plainly(event)
                state = after
            if number == 1:
                found += _as_it_ended(model_id, state, final)
            if state == "deleted":
                gone.add(model_id)
    rows = {row.id for row in final.models}
    for asked in history.asked:
        if asked.outcome is not Outcome.ACCEPTED:
            continue
        if asked.verb is Verb.REGISTER and asked.ids["model_id"] not in rows | gone:
            found.append(f"{asked.ids['model_id']} was registered, and is not there")
        if asked.verb is Verb.DELETE and asked.client != "bus" and asked.target in rows:
            found.append(f"{asked.target} was deleted, and is there")
    found += _loads(history)
    return found


def _of_models(events: Iterable[Event]) -> dict[str, list[Event]]:
    of: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind.startswith("model:"):
            of[event.data["model_id"]].append(event)
    return of


_WAYS: Mapping[str, Mapping[str, str]] = {
    "model:registered": {"nothing": "resting"},
    "model:loading": {"resting": "loading"},
    "model:prepared": {"loading": "loading"},
    "model:ready": {"loading": "ready"},
    "model:failed": {"loading": "resting", "ready": "resting"},
    "model:unloaded": {"loading": "resting", "ready": "resting"},
    "model:deleted": {"resting": "deleted", "loading": "deleted", "ready": "deleted"},
}


def _plainly(event: Event) -> str:
    return next(iter(_WAYS[event.kind].values()))


def _next(state: str, event: Event) -> str | None:
    """Return the state after an event, or None where none leads there."""
    if state == "anything":
        return _plainly(event)
    if (
        state == "loading"
        and event.kind == "model:unloaded"
        and event.data["reason"] != "cancelled"
    ):
        return None
    return _WAYS[event.kind].get(state)


def _as_it_ended(model_id: str, state: str, final: Final) -> list[str]:
    row = next((row for row in final.models if row.id == model_id), None)
    if state == "deleted":
        return [] if row is None else [f"{model_id} was said to be deleted, and is there"]
    if row is None:
        return [f"{model_id} is not there, and was never said to be deleted"]
    is_so = {"ready": row.status == "ready", "loading": row.status == "loading"}
    resting = row.status in ("pending", "unloaded", "failed")
    if not is_so.get(state, resting):
        return [f"{model_id} is {row.status}, and was said to be {state}"]
    return []


def _told_of(history: History, kind: str, key: str) -> Counter[str]:
    """Return how often events of a kind told of each thing that their field ``key`` names."""
    return Counter(
        event.data[key] for events in _said(history) for event in events if event.kind == kind
    )


def _loads(history: History) -> list[str]:
    """Each load that was accepted was said to begin, once."""
    begun = _told_of(history, "model:loading", "task_id")
    found = [f"the load {task} was said to begin {n} times" for task, n in begun.items() if n > 1]
    for asked in _by(history, Verb.LOAD):
        task = asked.ids.get("task_id")
        unsaid = asked.outcome is Outcome.ACCEPTED and task and not begun[task]
        if unsaid and not _excused(history, asked):
            found.append(f"the load {task} was accepted, and never said to begin")
    return found


def _commands(history: History) -> list[str]:
    """No command is refused twice, and none that was never given."""
    refused = _told_of(history, REFUSED, "command_id")
    given = {asked.ids.get("command_id") for asked in history.asked}
    return [
        *(f"the command {each} was refused {n} times" for each, n in refused.items() if n > 1),
        *(
            f"the command {each} was refused, and nobody gave it"
            for each in refused
            if each not in given
        ),
    ]


def _caches(history: History) -> list[str]:
    evicted = _told_of(history, "cache:evicted", "cache_id")
    found = [f"the cache {each} was evicted {n} times" for each, n in evicted.items() if n > 1]
    for asked in _by(history, Verb.EVICT):
        if (
            asked.outcome is Outcome.ACCEPTED
            and asked.client != "bus"
            and not evicted[asked.target]
        ) and not _excused(history, asked):
            found.append(f"the cache {asked.target} was deleted, and nobody was told")
    return found


def _watched(name: str, sittings: Sequence[Sitting], history: History) -> list[str]:
    """A watcher is told of each event once, in order, from where it began to the end."""
    found: list[str] = []
    kept = {event.place: event for event in history.kept}
    now = [event for sitting in sittings for event in sitting.events if event.place in kept]
    old = [event for sitting in sittings for event in sitting.events if event.place not in kept]
    # Of what was said before the schedule began, a gateway may tell a moment later.
    unheld = [event for event in old if event.sequence > history.begun]
    if unheld and history.lost is None:
        found.append(f"{name} was told what the stream does not hold: {unheld[0]}")
    for told in (old, now):
        for before, after in itertools.pairwise(told):
            if after.sequence == before.sequence:
                found.append(f"{name} was told twice: {after}")
            elif after.sequence < before.sequence:
                found.append(f"{name} was told out of order: {after} after {before}")
    # Who watched before the stream was made anew must hear all of the new one.
    begun = sittings[0].newest if sittings and history.lost is None else 0
    seen = {event.sequence for event in now}
    until = history.kept[-1].sequence if history.kept else 0
    until = until if history.rested is None else history.rested
    missed = [e for e in history.kept if begun < e.sequence <= until and e.sequence not in seen]
    if missed:
        found.append(f"{name} was never told of {len(missed)} events, the first: {missed[0]}")
    return found


def _by(history: History, verb: Verb) -> list[Asked]:
    return [asked for asked in history.asked if asked.verb is verb]
