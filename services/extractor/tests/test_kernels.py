"""Which quantised formats run is found out once, told to the catalog, and kept to."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from mistudio_contracts import Quantization, subjects
from mistudio_contracts.errors import ModelLoadFailed
from mistudio_contracts.reports import ModelPlacedReport, ModelWorkFailedReport
from mistudio_contracts.values import Artifact
from mistudio_extractor.factory import create_app
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.kernels import Kernels
from mistudio_extractor.storage.verdicts import NAME, KeptVerdicts
from mistudio_servicekit.testing import running
from mistudio_testkit.bus import until

from .bus import Catalog
from .support import Disk, place_order

BROKEN = "its check ended the process: SIGABRT"


@pytest.fixture
async def catalog(nats_url: str, disk: Disk) -> AsyncIterator[Catalog]:
    disk.url = nats_url
    client = await nats.connect(nats_url)
    found = Catalog(client)
    await found.listen()
    yield found
    await client.close()


def as_int4(artifact: Artifact) -> Artifact:
    return artifact.model_copy(update={"quantization": Quantization.INT4})


def kept(disk: Disk) -> tuple[KeptVerdicts, str]:
    return KeptVerdicts(disk.settings.kernel_cache_dir), Device(disk.settings).known_facts().name


async def test_a_format_that_does_not_run_is_told_and_refused(
    catalog: Catalog, disk: Disk, tiny: Artifact
) -> None:
    verdicts, device = kept(disk)
    verdicts.save(device, {"int8": None, "int4": BROKEN})
    refused, served = place_order(as_int4(tiny)), place_order(tiny)
    async with running(create_app(disk.settings)):
        await catalog.beat_after(lambda b: b.unavailable_formats == {"int4": BROKEN})
        await catalog.order(subjects.WORK_PLACE, refused)
        failed = await catalog.report(ModelWorkFailedReport, task_id=refused.task_id)
        await catalog.order(subjects.WORK_PLACE, served)
        await catalog.report(ModelPlacedReport, task_id=served.task_id)
    error = failed.failure.error
    assert (error.details["reason"], error.details["detail"]) == (
        "quantization_unavailable",
        BROKEN,
    )
    assert not failed.failure.transient


@pytest.mark.parametrize(
    "check", ["told", pytest.param("made", marks=pytest.mark.nightly("torch and bitsandbytes"))]
)
async def test_who_needs_a_format_waits_for_its_check_whose_outcome_is_kept(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    if check == "told":
        # By what answers as mistudio_capture.kernels does; libs/capture and `doctor` run that.
        fine = tmp_path / "python"
        fine.write_text("""#!/bin/sh\necho '{"int8": null, "int4": null}'\n""")
        fine.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fine))
    verdicts, name = kept(disk)
    kernels = Kernels(Device(disk.settings), verdicts, delay=3600)
    await kernels.start()
    artifact = Artifact(fingerprint="f" * 32, quantization="int8", dtype="float32", bytes=1)
    await kernels.require(artifact)
    await kernels.stop()
    assert kernels.unavailable == {}
    assert verdicts.load(name) == {"int8": None, "int4": None}


async def test_what_was_found_with_another_library_does_not_count(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts, name = kept(disk)
    verdicts.save(name, {"int8": None, "int4": BROKEN})
    monkeypatch.setattr(
        "mistudio_extractor.storage.verdicts.version", lambda package: f"{package} of tomorrow"
    )
    assert verdicts.load(name) is None
    assert verdicts.load("another device") is None


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_cache_is_no_cache(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    verdicts = KeptVerdicts(tmp_path)
    assert verdicts.load("cpu") is None
    verdicts.save("cpu", {"int8": None, "int4": None})
    assert len(json.loads((tmp_path / NAME).read_text())) == 1


async def test_a_check_that_could_not_be_made_refuses_nothing(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    verdicts, name = kept(disk)
    kernels = Kernels(Device(disk.settings), verdicts, delay=0)
    await kernels.start()
    artifact = Artifact(fingerprint="f" * 32, quantization="int4", dtype="float32", bytes=1)
    await kernels.require(artifact)
    assert (kernels.unavailable, verdicts.load(name)) == ({}, None)


async def test_stopping_ends_the_check(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    slow = tmp_path / "python"
    slow.write_text(
        f"#!/bin/sh\ntrap 'kill $!; touch {ended}; exit 1' TERM\n"
        f"tail -f /dev/null &\ntouch {started}\nwait\n"
    )
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    kernels = Kernels(Device(disk.settings), kept(disk)[0], delay=0)
    await kernels.start()
    waiting = asyncio.create_task(
        kernels.require(
            Artifact(fingerprint="f" * 32, quantization="int4", dtype="float32", bytes=1)
        )
    )
    await until(started.exists)
    await kernels.stop()
    assert ended.exists()
    with pytest.raises((asyncio.CancelledError, ModelLoadFailed)):
        await waiting
