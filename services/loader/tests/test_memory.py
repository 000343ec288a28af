"""Memory: of the main process, and of a cast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CAST = """
import json, resource, sys
from pathlib import Path
import torch
from mistudio_contracts import Dtype
from mistudio_loader.domain.headers import read_header
from mistudio_loader.services.casting import cast_file
source, target = map(Path, sys.argv[1:])
with source.open("rb") as stream:
    header = read_header(stream, source.name, source.stat().st_size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cast_file(source, header, target, Dtype.FLOAT16, lambda done: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
"""Prints the kilobytes by which the peak of resident memory rises."""


UNPICKLE = """
import resource, sys
from pathlib import Path
import torch
from mistudio_loader.services.pickles import convert_pickle
source, target = map(Path, sys.argv[1:])
torch.save({f"x{n}": torch.zeros(2**23) for n in range(16)}, source)
before = int(Path("/proc/self/statm").read_text().split()[1])
peak = 0
def tell(done):
    global peak
    peak = max(peak, int(Path("/proc/self/statm").read_text().split()[1]))
convert_pickle(source, target, tell)
print((peak - before) * resource.getpagesize() // 1024)
"""
"""Prints the kilobytes by which resident memory rises while 512 MiB are converted."""


def zeros(path: Path, size: int) -> Path:
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    raw = json.dumps({"big": tensor}).encode()
    with path.open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        stream.truncate(8 + len(raw) + size)
    return path


@pytest.mark.nightly("half a gigabyte, in a process of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_a_cast_takes_little_memory_however_large_the_tensor(tmp_path: Path) -> None:
    source = zeros(tmp_path / "large.safetensors", 512 * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", CAST, str(source), str(tmp_path / "out.safetensors")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 128 * 1024


@pytest.mark.nightly("half a gigabyte, in a process of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_pickle_takes_the_memory_of_a_tensor_not_of_the_file(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "pytorch_model.bin"), str(tmp_path / "out.safetensors")]
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLE, *arguments], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 128 * 1024


def test_keeping_the_weights_as_they_are_needs_no_torch(prepare: Any, checkpoint: Any) -> None:
    job = prepare.job(str(checkpoint("gpt2")))
    code = (
        "import sys; from mistudio_loader.jobs import PrepareJob;"
        "from mistudio_loader.services.preparation import Preparation;"
        "job = PrepareJob.model_validate_json(sys.argv[1]);"
        "Preparation(job, lambda step: None).run();"
        "print(sorted({'torch', 'transformers', 'numpy', 'gguf'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, job.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_main_process_imports_nothing_heavy() -> None:
    code = (
        "import sys, mistudio_loader.factory, mistudio_loader.main;"
        "heavy = {'torch', 'transformers', 'pyarrow', 'datasets', 'numpy', 'huggingface_hub'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
