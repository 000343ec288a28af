"""What is freed in a pass is used again in it, and none of it stays afterwards."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

PROGRAM = """
import json, resource
import psutil, torch
from mistudio_capture.heap import give_back_at_once, kept_for_a_pass

def faults_of_a_pass():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for block in range(24):
        wide = torch.ones(4 << 20, dtype=torch.uint8)
        del wide
        halves = [torch.ones((1 << 20) + (block << 12), dtype=torch.uint8) for _ in range(8)]
        del halves
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

memory = psutil.Process()
assert give_back_at_once()
faults_of_a_pass()
before, outside = memory.memory_info().rss, faults_of_a_pass()
with kept_for_a_pass():
    within = faults_of_a_pass()
found = {"outside": outside, "within": within}
found["stayed"] = memory.memory_info().rss - before
print(json.dumps(found))
"""


def test_a_pass_takes_its_memory_once_and_leaves_none() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["within"] * 5 < found["outside"]
    assert found["stayed"] < 1 << 20
