"""No file that a stranger made leads a reader to an error that it does not promise, or out.

A few seconds each in the usual run; ``make fuzz`` lets each go on for ten minutes.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_testkit.nightly import FUZZ_SECONDS

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
    ),
    pytest.mark.timeout(2 * FUZZ_SECONDS + 120),
]


@pytest.mark.parametrize("target", ["safetensors", "gguf", "manifest"])
def test_a_reader_raises_what_it_promises_and_nothing_else(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    options = [f"-max_total_time={FUZZ_SECONDS}", "-print_final_stats=1"]
    # What takes seconds or gigabytes for a few kilobytes is an error too.
    options += ["-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={tmp_path}/"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.readers", target, str(corpus), *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "number_of_executed_units" in ran.stderr
