"""Where activations come from: the model, the dataset, the tokenisation and the versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeGuard


@dataclass(frozen=True)
class ModelInfo:
    """The model that was run, as far as whoever wrote the store knew it.

    Parameters
    ----------
    fingerprint
        Of its weights, config and tokenizer.
    source, identifier, revision
        Where it came from; ``identifier`` is a hub's id.
    quantization, quantization_options
        How its weights are kept.
    dtype
        Of what is not quantised, and so of the residual stream.
    fidelity
        What quantising its weights changed: ``probe_tokens``, ``layers`` with the ``cosine`` and
        ``relative_error`` of each ``hook_point``, and the perplexities.
    """

    fingerprint: str | None = None
    source: str | None = None
    identifier: str | None = None
    revision: str | None = None
    quantization: str | None = None
    quantization_options: dict[str, Any] | None = None
    dtype: str | None = None
    fidelity: dict[str, Any] | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """The dataset: the fingerprint of its rows, and how many they are.

    What a catalog calls it is left out: equal plans give equal manifests, whatever names are given.
    """

    fingerprint: str | None = None
    sample_count: int | None = None


@dataclass(frozen=True)
class Info:
    """What a manifest says of a store's origin.

    Parameters
    ----------
    model, dataset
        What was run over what.
    tokenization
        How text became ``input_ids``.
    rows_considered
        Dataset rows that the token shards have used up, those left out included.
    versions
        Of the packages that wrote last.
    notes
        Anything else.
    """

    model: ModelInfo | None = None
    dataset: DatasetInfo | None = None
    tokenization: dict[str, Any] | None = None
    rows_considered: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def over(self, before: Info) -> Info:
        """Return ``before`` with what is known here in its place."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {name: value for name, value in known.items() if value not in (None, {})}
        return replace(before, **told)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Info:
        """Read what :meth:`to_json` gave, or the free ``info`` of version 1.

        What has no place of its own becomes a note.
        """
        own = {each.name for each in fields(cls)}
        notes = {**document.get("notes", {})}
        notes.update({name: value for name, value in document.items() if name not in own})
        model, dataset = document.get("model"), document.get("dataset")
        for name, value, kind in (("model", model, ModelInfo), ("dataset", dataset, DatasetInfo)):
            if value is not None and not _fits(value, kind):
                notes[name] = value
        return cls(
            model=ModelInfo(**model) if _fits(model, ModelInfo) else None,
            dataset=DatasetInfo(**dataset) if _fits(dataset, DatasetInfo) else None,
            tokenization=document.get("tokenization"),
            rows_considered=document.get("rows_considered"),
            versions=dict(document.get("versions", {})),
            notes=notes,
        )


def _fits(document: Any, kind: type[Any]) -> TypeGuard[Mapping[str, Any]]:
    known = {each.name for each in fields(kind)}
    return isinstance(document, Mapping) and known.issuperset(document)
