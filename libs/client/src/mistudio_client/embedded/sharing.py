"""How several extractors divide one machine: a GPU each, or its processors and its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

EXTRACTOR = "extractor"

_GPUS = Path("/proc/driver/nvidia/gpus")
_LIMIT, _LIMIT_GB = "GPU_MEMORY_LIMIT_GB", 6.0
_VISIBLE, _THREADS = "CUDA_VISIBLE_DEVICES", "TORCH_NUM_THREADS"


def extractor_names(count: int) -> list[str]:
    """Return the names of ``count`` extractors; the first keeps the name of a single one."""
    return [EXTRACTOR, *(f"{EXTRACTOR}-{number}" for number in range(2, count + 1))]


def gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the CUDA devices that extractors may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if environ.get("MISTUDIO_DEVICE") == "cpu":
        return []
    if _VISIBLE in environ:
        return [name for name in environ[_VISIBLE].split(",") if name.strip()]
    # Asking CUDA itself would take torch and seconds.
    return [str(index) for index in range(len(list(_GPUS.iterdir())))] if _GPUS.is_dir() else []


def shares(
    count: int, environ: Mapping[str, str], cores: int, devices: Sequence[str]
) -> list[dict[str, str]]:
    """Return what each of ``count`` extractors is told beside the common environment.

    ``GPU_MEMORY_LIMIT_GB`` is of a device, so extractors on one device have a part of it each. A
    single extractor is told nothing.

    Parameters
    ----------
    count
        Extractors on this machine.
    environ
        The common environment.
    cores
        Processors of the machine.
    devices
        Its CUDA devices; extractors take them in turn.
    """
    if count == 1:
        return [{}]
    limit = float(environ.get(_LIMIT, _LIMIT_GB))
    if devices:
        taken = [devices[index % len(devices)] for index in range(count)]
        return [{_VISIBLE: device, _LIMIT: f"{limit / taken.count(device):g}"} for device in taken]
    share = {_LIMIT: f"{limit / count:g}"}
    if not {_THREADS, "OMP_NUM_THREADS"} & environ.keys():
        share[_THREADS] = str(max(1, cores // count))
    return [dict(share) for _ in range(count)]
