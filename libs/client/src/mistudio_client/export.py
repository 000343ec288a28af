"""Activation caches as files of this machine: the store itself, or an array a layer."""

from __future__ import annotations

import shutil
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .activations import check_free
from .errors import InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .activations import Activations
    from .datasets import OnBytes


class Format(str, Enum):
    """What to write: the store's own files, ``.npy`` arrays or ``.pt`` tensors."""

    STORE = "store"
    NPY = "npy"
    PT = "pt"


def export(
    activations: Activations,
    cache_id: str,
    dest: Path,
    form: Format,
    *,
    on_progress: OnBytes | None = None,
) -> list[Path]:
    """Copy a cache into the directory ``dest`` and return the files that were written.

    As a store it is what the service has, with the columns of other caches too. As arrays it is
    just this cache: ``layers.N.resid_post`` ``[tokens, width]`` for each layer, ``input_ids``
    ``[tokens]`` and ``offsets`` ``[samples + 1]``, where sample ``i`` is the rows ``offsets[i]`` to
    ``offsets[i + 1]``. numpy has no bfloat16, so ``.npy`` holds such values as float32.

    Parameters
    ----------
    activations
        ``client.activations``.
    cache_id
        Which cache.
    dest
        The directory to make. It must not exist, or be empty.
    form
        What to write into it.
    on_progress
        Called with bytes downloaded and bytes in all.

    Raises
    ------
    InvalidArgument
        When ``dest`` is taken, or the library that converts is not installed.
    Corrupted
        When a file is not what the manifest says.
    """
    check_free(dest)
    if form is Format.STORE:
        activations.download(cache_id, dest, on_progress=on_progress)
    else:
        _export_arrays(activations, cache_id, dest, form, on_progress)
    return sorted(path for path in dest.rglob("*") if path.is_file())


def _export_arrays(
    activations: Activations, cache_id: str, dest: Path, form: Format, on_progress: OnBytes | None
) -> None:
    try:
        import numpy as np

        import mistudio_activations
    except ImportError as error:
        raise _missing(form) from error
    if form is Format.PT and find_spec("torch") is None:
        raise _missing(form)
    cache = activations.get(cache_id)
    staging = dest.with_name(f".{dest.name}.{cache_id}.export")
    store, arrays = staging / "store", staging / "arrays"
    # What an interrupted attempt has downloaded is kept beside these two and used again.
    for left_over in (store, arrays):
        shutil.rmtree(left_over, ignore_errors=True)
    activations.download(cache_id, store, columns=cache.hook_points, on_progress=on_progress)
    arrays.mkdir()
    # A cache may show fewer samples and layers than its store has.
    whole = mistudio_activations.open(store)
    view = whole.view(int(np.searchsorted(whole.offsets, cache.token_count)))
    for column in cache.hook_points:
        if form is Format.NPY:
            mistudio_activations.export_npy(view, column, arrays / f"{column}.npy")
        else:
            mistudio_activations.export_pt(view, column, arrays / f"{column}.pt")
    for name, values in (("input_ids", view.input_ids), ("offsets", view.offsets)):
        if form is Format.NPY:
            np.save(arrays / f"{name}.npy", values)
        else:
            _save_tensor(arrays / f"{name}.pt", np.array(values))
    if dest.is_dir():
        dest.rmdir()
    arrays.rename(dest)
    shutil.rmtree(staging)


def _save_tensor(path: Path, values: NDArray[Any]) -> None:
    import torch

    torch.save(torch.from_numpy(values), path)


def _missing(form: Format) -> InvalidArgument:
    return InvalidArgument(
        f"Writing {form.value} needs a library that is not installed.",
        field="format",
        reason="missing_library",
        remedy="Install it with: pip install 'mistudio-client[export]'",
    )
