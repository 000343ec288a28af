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

    from mistudio_activations import ActivationStore

    from .activations import Activations
    from .datasets import OnBytes


class Format(str, Enum):
    """What to write: the store's own files, ``.npy`` arrays, ``.pt`` tensors, or datasets in the
    layout of SAELens's cached activations."""

    STORE = "store"
    NPY = "npy"
    PT = "pt"
    SAELENS = "saelens"


def export(
    activations: Activations,
    cache_id: str,
    dest: Path,
    form: Format,
    *,
    context_size: int | None = None,
    whole_windows: bool = False,
    on_progress: OnBytes | None = None,
) -> list[Path]:
    """Copy a cache into the directory ``dest`` and return the files that were written.

    As a store it is what the service has, with the columns of other caches too. As arrays it is
    just this cache: ``layers.N.resid_post`` ``[tokens, width]`` for each layer, ``input_ids``
    ``[tokens]`` and ``offsets`` ``[samples + 1]``, where sample ``i`` is the rows ``offsets[i]`` to
    ``offsets[i + 1]``. numpy has no bfloat16, so ``.npy`` holds such values as float32. For SAELens
    there is a directory a layer, what its ``cached_activations_path`` takes.

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
    context_size
        Tokens of a window, which SAELens needs and the other forms do not have.
    whole_windows
        Windows lie within a sample each, and what remains of a sample is left out; else samples are
        put end to end and that is cut.
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
    if (context_size is None) == (form is Format.SAELENS):
        raise InvalidArgument(
            "A window's tokens must be given for saelens, and for it alone.",
            field="context_size",
            reason="context_size",
            remedy="Give --context-size with --format saelens, such as 128.",
        )
    if form is Format.STORE:
        activations.download(cache_id, dest, on_progress=on_progress)
    else:
        windows = None if context_size is None else (context_size, whole_windows)
        _export_arrays(activations, cache_id, dest, form, windows, on_progress)
    return sorted(path for path in dest.rglob("*") if path.is_file())


def _export_arrays(
    activations: Activations,
    cache_id: str,
    dest: Path,
    form: Format,
    windows: tuple[int, bool] | None,
    on_progress: OnBytes | None,
) -> None:
    try:
        import numpy as np

        import mistudio_activations
    except ImportError as error:
        raise _missing(form) from error
    needs = {Format.PT: "torch", Format.SAELENS: "datasets"}.get(form)
    if needs is not None and find_spec(needs) is None:
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
        if windows is not None:
            _export_windows(view, column, arrays, *windows)
        elif form is Format.NPY:
            mistudio_activations.export_npy(view, column, arrays / f"{column}.npy")
        else:
            mistudio_activations.export_pt(view, column, arrays / f"{column}.pt")
    beside = () if windows else (("input_ids", view.input_ids), ("offsets", view.offsets))
    for name, values in beside:
        if form is Format.NPY:
            np.save(arrays / f"{name}.npy", values)
        else:
            _save_tensor(arrays / f"{name}.pt", np.array(values))
    if dest.is_dir():
        dest.rmdir()
    arrays.rename(dest)
    shutil.rmtree(staging)


def _export_windows(
    view: ActivationStore, column: str, arrays: Path, context_size: int, whole: bool
) -> None:
    import mistudio_activations as ma

    windows = ma.Windows.WHOLE if whole else ma.Windows.CONCATENATED
    try:
        ma.export_saelens(view, column, arrays / column, context_size=context_size, windows=windows)
    except ma.ActivationsError as error:
        raise InvalidArgument(
            f"{column} cannot be exported: {error}.",
            field="context_size",
            reason="no_windows",
            remedy="Choose a smaller --context-size, or leave --whole-windows out.",
        ) from error


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
