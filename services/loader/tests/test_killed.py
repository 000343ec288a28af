"""kill -9 at any moment of a preparation: the next attempt completes, and nothing is left behind.

The moments are drawn from a seed among all steps told and all operations on files.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mistudio_contracts import Quantization, Source
from mistudio_loader.storage.artifacts import MANIFEST, find_artifact
from mistudio_loader.storage.staging import Workshop
from mistudio_testkit.hub import FakeHub

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signal 9")

SEED = 3
POINTS = {"directory": 3, "cast": 3, "hub": 6, "pickle": 4, "int4": 4}
"""How many moments of each way: twenty in all."""


class Killer:
    """Talks to :mod:`killing`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killing.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, job: Any, moment: int = 0) -> tuple[int, int]:
        """Prepare until a moment, to the end for 0; return the exit code and the moments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"job": job.model_dump(mode="json"), "moment": moment}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["moments"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    found = Killer()
    yield found
    found.close()


@dataclass
class Way:
    """One way of preparing, in a fresh cache each time."""

    order: Callable[[Path], Any]
    root: Path

    def fresh(self, name: str) -> Any:
        cache = self.root / name
        cache.mkdir()
        return self.order(cache)


@pytest.fixture
def way(
    request: pytest.FixtureRequest,
    prepare_from: Any,
    hub: FakeHub,
    checkpoint: Any,
    tiny_model: Any,
    tmp_path: Path,
) -> Way:
    kind = request.param
    fields: dict[str, Any] = {"identifier": "gpt2"}
    if kind == "hub":
        hub.add_model("a/b", tiny_model("llama"))
        fields |= {"identifier": "a/b", "source": Source.HUGGINGFACE}
    elif kind == "int4":
        hub.add_model("a/b", tiny_model("llama"))
        fields |= {"identifier": "a/b", "source": Source.HUGGINGFACE}
        fields["quantization"] = Quantization.INT4
    elif kind == "pickle":
        source = checkpoint("gpt2")
        torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
        (source / "model.safetensors").unlink()
    else:
        checkpoint("gpt2")
        fields["quantization"] = Quantization.BF16 if kind == "cast" else Quantization.NONE

    def order(cache: Path) -> Any:
        return prepare_from.job(**fields, root=cache)

    return Way(order, tmp_path)


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def check_complete(root: Path) -> None:
    """Check that whatever can be seen is whole, to the last byte."""
    for name in visible(root):
        manifest = find_artifact(root, name)
        assert manifest is not None, f"{name} is visible and not whole"
        assert {p.name for p in (root / name).iterdir()} == {
            MANIFEST,
            *(f.name for f in manifest.files),
        }
        for file in manifest.files:
            content = (root / name / file.name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file.sha256


def orphans(root: Path) -> list[str]:
    """Return every file that belongs to no artifact, the memory of digests aside."""
    hidden = [p for p in root.rglob("*") if p.relative_to(root).parts[0].startswith(".")]
    return sorted(
        p.relative_to(root).as_posix()
        for p in hidden
        if (p.is_file() or p.parent != root) and p.parent.name != ".digests"
    )


@pytest.mark.parametrize(
    "way",
    [
        "int4",
        *(
            pytest.param(each, marks=pytest.mark.nightly("ten kills more"))
            for each in ("hub", "directory", "cast", "pickle")
        ),
    ],
    indirect=True,
)
def test_killed_at_any_moment_the_next_attempt_completes_and_leaves_no_orphan(
    way: Way, killer: Killer, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["way"]
    whole = way.fresh("whole")
    code, moments = killer.run(whole)
    assert code == 0
    (expected,) = visible(whole.root)
    assert moments > 10
    for moment in random.Random(f"{SEED} {kind}").sample(range(1, moments + 1), POINTS[kind]):
        job = way.fresh(f"killed-{moment}")
        assert killer.run(job, moment) == (-9, 0), moment
        check_complete(job.root)
        Workshop(job.root).sweep()
        check_complete(job.root)
        # As after a cancellation: a download can go on, and nothing else is left.
        assert all(name.startswith(".hub/") for name in orphans(job.root)), moment
        assert killer.run(job)[0] == 0, moment
        Workshop(job.root).sweep()
        check_complete(job.root)
        assert visible(job.root) == [expected], moment
        assert orphans(job.root) == [], moment
