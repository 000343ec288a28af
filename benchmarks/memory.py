"""Whether an extractor's memory grows with the dataset: ``make bench NAME=memory``.

For each number of samples the embedded stack is started anew with small shards, extracts every
layer of a tiny model over texts of the same lengths, and the extractor's peak of resident memory is
read: what the process has had at most, its maps of files included.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.connection import read_connection
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Site

MB = 1e6
SHARD_TOKENS = 2000
"""So that the fewest samples fill shards too: what differs is how many shards there are."""

MORE = 1.05
"""What the largest dataset may take, as a multiple of the smallest."""


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def measure(samples: int, scratch: Path) -> dict[str, Any]:
    """Extract so many samples with a fresh stack; return tokens and the extractor's peak."""
    model = make_model(scratch / "gpt2", "gpt2")
    texts = write_jsonl(scratch / "texts.jsonl", ragged_texts(samples, longest=30))
    with EmbeddedStack(
        scratch / "data", allow=[scratch], env={"SHARD_TOKENS": str(SHARD_TOKENS)}
    ) as stack:
        site = Site(stack.url, stack.token)
        ready, dataset = site.ready_model(model), site.upload(texts)
        done = site.extract(
            ready["id"], timeout=3600, dataset_id=dataset["id"], layer_indices="all"
        )
        assert done["status"] == "completed", done["error"]
        connection = read_connection(stack.data_dir)
        assert connection is not None
        (pid,) = (pid for name, pid in connection.pids.items() if name.startswith("extractor"))
        site.close()
        return {"samples": samples, "tokens": done["total_tokens"], "peak_bytes": peak_bytes(pid)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 10_000])
    found = []
    for samples in sorted(parser.parse_args().samples):
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(samples, Path(scratch)))
    table = Table("samples", "tokens", "peak MB", title="An extractor's resident memory")
    for each in found:
        size = f"{each['peak_bytes'] / MB:.1f}"
        table.add_row(f"{each['samples']:,}", f"{each['tokens']:,}", size)
    Console().print(table)
    ratio = found[-1]["peak_bytes"] / found[0]["peak_bytes"]
    write_result("memory", {"runs": found, "ratio": round(ratio, 4), "limit": MORE})
    if ratio > MORE:
        raise SystemExit(f"the largest took {ratio:.3f} times what the smallest took")


if __name__ == "__main__":
    main()
