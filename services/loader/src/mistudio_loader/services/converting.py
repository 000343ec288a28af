"""Any format of weights as safetensors: what is not so already is converted into staging."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mistudio_contracts import Dtype, LoadStage
from mistudio_loader.domain.checkpoint import (
    CONFIG,
    SINGLE,
    TOKENIZER,
    TOKENIZER_FILES,
    Selection,
    WeightFormat,
)
from mistudio_loader.domain.families import read_config
from mistudio_loader.domain.progress import Step
from mistudio_loader.storage.staging import Workshop

from .checkpoints import LocalCheckpoint
from .dequantizing import dequantize_gguf
from .fetching import Fetched
from .inspection import Inspection, examine, parse_config
from .pickles import convert_pickle, safetensors_name

_HASH_BYTES = 8 * 1024 * 1024

Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Readable:
    """A checkpoint in safetensors.

    Attributes
    ----------
    small
        Config, generation config and tokenizer files by name.
    origins
        SHA-256 of the files it was converted from; None where it was not converted.
    """

    inspection: Inspection
    small: dict[str, bytes]
    fetched: Fetched
    origins: Mapping[str, str] | None = None


@contextlib.contextmanager
def as_safetensors(
    inspection: Inspection,
    small: dict[str, bytes],
    fetched: Fetched,
    workshop: Workshop,
    task_id: str,
    tell: Tell,
) -> Iterator[Readable]:
    """Yield a checkpoint as safetensors; what had to be converted is gone afterwards.

    Raises
    ------
    InvalidInput
        See :func:`~.pickles.convert_pickle` and :func:`~.inspection.examine`.
    """
    if inspection.selection.format is WeightFormat.SAFETENSORS:
        yield Readable(inspection, small, fetched)
        return
    with workshop.stage(f"{task_id}.source") as scratch:
        origins = _origins(inspection, fetched, tell)
        pickled = inspection.selection.format is WeightFormat.PICKLE
        convert = _from_pickles if pickled else _from_gguf
        yield convert(inspection, small, fetched, scratch, origins, tell)


def _origins(inspection: Inspection, fetched: Fetched, tell: Tell) -> dict[str, str]:
    total, before = inspection.facts.weight_bytes or 0, 0
    found: dict[str, str] = {}
    for name, known in fetched.digests.items():
        path = fetched.directory / name
        if known is None:
            digest, done = hashlib.sha256(), 0
            with path.open("rb") as stream:
                while piece := stream.read(_HASH_BYTES):
                    digest.update(piece)
                    done += len(piece)
                    tell(Step(LoadStage.VERIFYING, "Reading the weights.", before + done, total))
        found[name] = known or digest.hexdigest()
        before += path.stat().st_size
    return found


def _from_pickles(
    inspection: Inspection,
    small: dict[str, bytes],
    fetched: Fetched,
    scratch: Path,
    origins: dict[str, str],
    tell: Tell,
) -> Readable:
    total, before = inspection.facts.weight_bytes or 0, 0
    digests: dict[str, str | None] = {}

    def tell_done(done: int) -> None:
        tell(Step(LoadStage.VERIFYING, "Converting to safetensors.", before + done, total))

    for name in inspection.selection.weights:
        target = scratch / safetensors_name(name)
        tell_done(0)
        digests[target.name] = convert_pickle(fetched.directory / name, target, tell_done)
        before += (fetched.directory / name).stat().st_size
    return Readable(
        examined(inspection, inspection.facts.config, small, scratch, tuple(sorted(digests))),
        small,
        Fetched(scratch, digests, owned=True),
        origins,
    )


def _from_gguf(
    inspection: Inspection,
    small: dict[str, bytes],
    fetched: Fetched,
    scratch: Path,
    origins: dict[str, str],
    tell: Tell,
) -> Readable:
    (name,) = inspection.selection.weights
    total, dtype = inspection.facts.weight_bytes or 0, inspection.facts.dtype

    def tell_done(done: int) -> None:
        tell(Step(LoadStage.VERIFYING, "Dequantising to safetensors.", done, total))

    tell_done(0)
    found = dequantize_gguf(
        fetched.directory / name,
        scratch,
        dtype or Dtype.BFLOAT16,
        TOKENIZER not in small,
        tell_done,
    )
    small = {**small, **found.small}
    config = parse_config(small[CONFIG])
    return Readable(
        examined(inspection, config, small, scratch, (SINGLE,)),
        small,
        Fetched(scratch, {SINGLE: found.sha256}, owned=True),
        origins,
    )


def examined(
    inspection: Inspection,
    config: dict[str, object],
    small: dict[str, bytes],
    scratch: Path,
    weights: tuple[str, ...],
) -> Inspection:
    """Return the inspection of what was converted; its facts keep the bytes of the original.

    Raises
    ------
    InvalidInput
        See :func:`~.inspection.examine`.
    """
    checkpoint = LocalCheckpoint(scratch)
    facts, selection = inspection.facts, inspection.selection
    tokenizer = tuple(sorted(TOKENIZER_FILES & small.keys()))
    chosen = Selection(weights, tokenizer, selection.generation_config)
    headers = {name: checkpoint.header(name) for name in weights}
    found = examine(checkpoint, chosen, config, read_config(config), headers)
    kept = {"weight_bytes": facts.weight_bytes, "revision": facts.revision}
    facts = found.facts.model_copy(update=kept)
    return Inspection(facts, chosen, headers, found.stored, found.tensors)
