"""Random batches for training from a cold disk: ``make bench NAME=reader``.

A column of 262,144 rows of width 768 in float32 (805 MB), batches of 4,096 rows in random order,
one epoch a run. Before each run the files are dropped from the page cache. Each side has a process
of its own and they run in turns.

- *read*: the same bytes from their files in order, into one buffer, and nothing else.
- *mistudio*: ``store.batches(shuffle=True)``.
- *sae_lens*: ``ActivationsStore`` over the same rows in its own layout, as its trainer reads
  them, mixed as widely as ours; *sae_lens_usual*: with its default mixing buffer of 5,120 rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._harness import ROOT, Contender, Job, as_json, write_result

from . import rivals
from .data import BATCH, COLUMN, CONTEXT, ROWS, SHARD_ROWS, WIDTH, rows_of

PEERS = ROOT / ".venv-peers" / "bin" / "python"
CHUNK = 1 << 23
BYTES = ROWS * WIDTH * 4
OF_DISK, OVER_SAE_LENS = 0.7, 10.0
THEIRS = {"sae_lens": rivals.sae_lens, "sae_lens_usual": rivals.sae_lens_usual}


def make_store(home: Path) -> None:
    """Write the column as a store."""
    import mistudio_activations as ma

    store = home / "store"
    tokens, shards = [], []
    for index in range(ROWS // SHARD_ROWS):
        with ma.ShardWriter(store, COLUMN, index, SHARD_ROWS, WIDTH, "float32") as writer:
            writer.write(0, rows_of(index))
            shards.append(writer.close())
        samples = SHARD_ROWS // CONTEXT
        tokens.append(
            ma.write_tokens(
                store,
                index,
                np.zeros(SHARD_ROWS, np.int32),
                np.arange(samples + 1, dtype=np.int64) * CONTEXT,
                np.arange(samples, dtype=np.int64) + index * samples,
            )
        )
    ma.commit(store, columns={COLUMN: shards}, token_shards=tokens, info={})


def read(home: Path) -> Job:
    """Return a job that reads the column's files in order."""
    files = sorted((home / "store" / COLUMN).glob("*.safetensors"))
    buffer = memoryview(bytearray(CHUNK))

    def job() -> None:
        for path in files:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    return job


def mistudio(home: Path) -> Job:
    """Return a job of one epoch of random batches."""
    import mistudio_activations as ma

    batches = ma.open(home / "store").batches([COLUMN], BATCH, seed=0)

    def job() -> None:
        seen = sum(len(batch.columns[COLUMN]) for batch in batches)
        assert seen == ROWS

    return job


def drop_cache(directory: Path) -> None:
    """Drop a directory's files from the page cache."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side")
    parser.add_argument("--home", type=Path, help="a directory of the disk; default: temporary")
    asked = parser.parse_args()
    subprocess.run([ROOT / "deploy" / "dev" / "peers"], check=True)
    # Every model lies here: nobody need ask a hub for one.
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(dir=asked.home) as scratch:
        home = Path(scratch)
        make_store(home)
        with ExitStack() as stack:
            sides = [
                stack.enter_context(Contender("read", read, home, warm=False)),
                stack.enter_context(Contender("mistudio", mistudio, home, warm=False)),
                *(
                    stack.enter_context(Contender(name, way, home, python=PEERS, warm=False))
                    for name, way in THEIRS.items()
                ),
            ]
            runs = []
            for _ in range(asked.repeats):
                for side in sides:
                    drop_cache(home)
                    runs.append(side.run())
    seconds = {
        side.name: statistics.median(r.seconds for r in runs if r.contender == side.name)
        for side in sides
    }
    table = Table("", "median s", "MB/s", title=f"{ROWS} rows × {WIDTH}, cold")
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.2f}", f"{BYTES / taken / 1e6:.0f}")
    Console().print(table)
    of_disk = seconds["read"] / seconds["mistudio"]
    over = seconds["sae_lens"] / seconds["mistudio"]
    Console().print(f"{of_disk:.0%} of the disk's rate (at least {OF_DISK:.0%})")
    Console().print(f"{over:.1f} × SAELens's rate (at least {OVER_SAE_LENS:.0f} ×)")
    write_result(
        "reader",
        {
            "of_disk_rate": round(of_disk, 3),
            "over_sae_lens": round(over, 2),
            "over_sae_lens_usual": round(seconds["sae_lens_usual"] / seconds["mistudio"], 2),
            "targets": {"of_disk_rate": OF_DISK, "over_sae_lens": OVER_SAE_LENS},
            "megabytes_per_second": {n: round(BYTES / s / 1e6, 1) for n, s in seconds.items()},
            "bytes": BYTES,
            "runs": as_json(runs),
        },
    )


if __name__ == "__main__":
    main()
