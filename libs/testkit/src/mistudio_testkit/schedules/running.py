"""Runs schedules on a stack, one after another, and judges each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mistudio_client.embedded.processes import wait_until
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Site

from .bed import Bed
from .checker import complaints
from .crowd import Crowd, World
from .draw import CHECKPOINTS, DATASETS, LAYERS, SECONDS, Schedule, draw
from .final import Checksums, Final, disagreements, told
from .history import History
from .looking import Looking
from .nemesis import Done, Nemesis

REST_SECONDS = 40.0
"""Within them a stack must rest after all was mended."""


@dataclass(frozen=True)
class Judgement:
    """What came of a schedule.

    Parameters
    ----------
    schedule
        Which.
    wrong
        What did not hold, each in a sentence; none where all did.
    history, final, done
        What happened, how it ended, what broke.
    seconds
        Until rest, from when all was mended.
    """

    schedule: Schedule
    wrong: tuple[str, ...]
    history: History
    final: Final
    done: tuple[Done, ...]
    seconds: float

    @property
    def summary(self) -> str:
        """How much happened, in a line."""
        history = self.history
        events = len(history.gone) + len(history.kept)
        faults = ", ".join(strike.fault.value for strike in self.schedule.strikes)
        return (
            f"seed {self.schedule.seed}: {len(history.asked)} requests, {events} events; "
            f"{faults}; at rest after {self.seconds:.1f} s"
        )

    def __str__(self) -> str:
        """Tell all that concerns what is wrong, for who replays the seed."""
        about = [word.strip(",:'[]") for each in self.wrong for word in each.split() if "_" in word]
        events = [
            str(event)
            for event in (*self.history.gone, *self.history.kept)
            if any(word in str(event) for word in about)
        ]
        return "\n".join(
            [
                *(f"WRONG: {each}" for each in self.wrong),
                "",
                str(self.schedule),
                "",
                "what was done:",
                *map(str, self.done),
                "",
                "what was asked:",
                *map(str, self.history.asked),
                "",
                "what was said of what is wrong:",
                *events,
                "",
                "how it stands:",
                told(self.final),
            ]
        )


class Runs:
    """Runs schedules on one stack.

    Parameters
    ----------
    bed
        The stack, running.
    home
        For checkpoints and datasets, below the root that the stack may read.
    """

    def __init__(self, bed: Bed, home: Path) -> None:
        self._bed, self._looking = bed, Looking(bed)
        self._site = Site(bed.url, bed.token)
        self._checkpoints = [
            str(make_model(home / f"model-{n}", "gpt2", seed=n, n_positions=64))
            for n in range(CHECKPOINTS)
        ]
        self._datasets = [
            self._site.upload(write_jsonl(home / f"d{n}.jsonl", ragged_texts(12 + 8 * n, seed=n)))
            for n in range(DATASETS)
        ]
        self.reference: Mapping[str, Checksums] = {}
        self.reference = self._undisturbed()

    def close(self) -> None:
        self._site.close()

    def run(self, seed: int) -> Judgement:
        """Run a seed's schedule and judge it; the stack is empty and at rest afterwards."""
        schedule = draw(seed, self._bed.nodes)
        begun = self._looking.newest()
        world = World(
            url=self._bed.url,
            token=self._bed.token,
            nats_urls=self._bed.nats_urls("bus"),
            checkpoints=self._checkpoints,
            datasets=[each["id"] for each in self._datasets],
        )
        with Crowd(world, schedule) as crowd:
            nemesis = Nemesis(self._bed, lambda: crowd.now)
            nemesis.carry_out(schedule.strikes, SECONDS)
            nemesis.heal()
            mended = time.monotonic()
            self._bed.wait_ready()
            asked = crowd.finish()
            final, wrong = self._rest()
            after = begun if nemesis.lost is None else 0
            kept = self._looking.events(after)
            # Of one that was lost with the stream nobody hears any more.
            if kept and not wait_until(lambda: crowd.heard(kept[-1]), REST_SECONDS):
                wrong = [*wrong, f"a watcher never heard of {kept[-1]}"]
            seconds = time.monotonic() - mended
            watched = crowd.watched()
        history = History(
            asked=asked,
            watched=watched,
            # Devices go on to tell of themselves.
            kept=self._looking.events(after),
            begun=begun,
            rested=kept[-1].sequence if kept else None,
            lost=nemesis.lost,
        )
        wrong = [*wrong, *complaints(history, final)]
        return Judgement(schedule, tuple(wrong), history, final, tuple(nemesis.done), seconds)

    def empty(self) -> list[str]:
        """Delete every model; return what is left of them."""
        self._delete_all()
        final, wrong = self._rest()
        left = [*final.models, *final.caches, *final.stores, *final.artifacts]
        return [*wrong, *(f"it is left when all is deleted: {each}" for each in left)]

    def leave_behind(self) -> list[str]:
        """Bring an artifact back that is deleted with its model; return what is left, and wrong.

        So it lies where the report that it was made is lost, or the order to remove it.
        """
        artifacts = self._bed.nursery.seen(self._bed.postgres.layout.models)
        made = self._site.ready_model(Path(self._checkpoints[0]))["fingerprint"]
        hidden = artifacts / f".{made}"
        shutil.copytree(artifacts / made, hidden)
        left = self.empty()
        hidden.rename(artifacts / made)
        _, wrong = self._rest()
        return [*left, *wrong]

    def _rest(self) -> tuple[Final, list[str]]:
        """Wait until nothing moves and all agree; return how it stands, and what does not hold."""
        seen: list[tuple[Final, list[str]]] = []

        def rests() -> bool:
            self._bed.supervise()
            final = self._looking.final()
            seen[:] = [(final, disagreements(final, self.reference))]
            return not seen[0][1]

        wait_until(rests, REST_SECONDS, poll=0.1)
        return seen[0]

    def _delete_all(self) -> None:
        for model in self._site.ask("GET", "/models", params={"limit": 500})["models"]:
            self._site.ask("DELETE", f"/models/{model['id']}", 204)

    def _undisturbed(self) -> Mapping[str, Checksums]:
        for path in self._checkpoints:
            model = self._site.ready_model(Path(path))
            for dataset in self._datasets:
                body = {"dataset_id": dataset["id"], "layer_indices": list(range(LAYERS))}
                done = self._site.extract(model["id"], **body)
                assert done["status"] == "completed", done["error"]
        final, wrong = self._rest()
        assert not wrong, wrong
        reference = {key: store.columns for key, store in final.stores.items()}
        left = self.empty()
        assert not left, left
        return reference
