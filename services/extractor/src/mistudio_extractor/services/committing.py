"""Making an extraction's columns visible."""

from __future__ import annotations

from importlib.metadata import version

from mistudio_activations import (
    DatasetInfo,
    Info,
    Manifest,
    ModelInfo,
    Place,
    ShardFile,
    StorageFull,
    StoreCorrupt,
    StoreNotFound,
    commit,
    read_manifest,
    shard_file,
    token_file,
)
from mistudio_activations import open as open_store
from mistudio_contracts.errors import ExtractionFailed
from mistudio_contracts.reports import ExtractionCommittedReport
from mistudio_contracts.values import ColumnSummary, QuantizationError
from mistudio_contracts.work import CommitExtraction
from mistudio_extractor.storage.bucket import bucket_errors
from mistudio_extractor.storage.layout import Layout

PACKAGES = (
    "bitsandbytes",
    "mistudio-activations",
    "mistudio-capture",
    "mistudio-extractor",
    "numpy",
    "tokenizers",
    "torch",
    "transformers",
)


class Committing:
    """Commits, on a thread of the caller's."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @bucket_errors()
    def commit(self, order: CommitExtraction) -> ExtractionCommittedReport | None:
        """Check each file, merge statistics, write the manifest; a repeat changes nothing.

        Returns
        -------
        ExtractionCommittedReport or None
            None where the store is being deleted: then the order came once too often.

        Raises
        ------
        ExtractionFailed
            When a file is missing or is not what was reported, or the bucket cannot be used.
        ServiceUnavailable
            When the bucket does not answer.
        InsufficientStorage
            When there is no room.
        """
        store = self._layout.store(order.store_key)
        try:
            token_shards, columns = _new_files(store, order)
            manifest = commit(
                store, columns=columns, token_shards=token_shards, info=self._info(order, store)
            )
        except StoreCorrupt as error:
            raise _damaged() from error
        except StorageFull as error:
            raise self._layout.full() from error
        try:
            summaries = _summaries(store, manifest)
        except (FileNotFoundError, StoreNotFound):
            return None
        return ExtractionCommittedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            storage_path=str(store),
            columns=summaries,
            token_bytes=sum(shard.bytes for shard in manifest.tokens),
        )

    def _info(self, order: CommitExtraction, store: Place) -> Info:
        facts = self._layout.artifact_facts(order.artifact)
        considered = order.rows_considered
        if considered is None:
            # Each row considered is either a sample or was left out.
            considered = order.samples + order.skipped.empty + order.skipped.too_long
        before = read_manifest(store)
        known = (before.info.rows_considered or 0) if before else 0
        return Info(
            model=ModelInfo(
                fingerprint=order.artifact.fingerprint,
                source=facts.get("source"),
                identifier=facts.get("model_identifier"),
                revision=facts.get("revision"),
                quantization=order.artifact.quantization.value,
                quantization_options=facts.get("quantization_options"),
                dtype=order.artifact.dtype.value,
                fidelity=facts.get("fidelity"),
            ),
            dataset=DatasetInfo(order.dataset.fingerprint, order.dataset.sample_count),
            tokenization=order.tokenization.model_dump(mode="json"),
            rows_considered=max(known, considered),
            versions={name: version(name) for name in PACKAGES},
        )


def _new_files(
    store: Place, order: CommitExtraction
) -> tuple[list[ShardFile], dict[str, list[ShardFile]]]:
    """Return the files that the manifest does not list yet: of tokens, and of each column."""
    before = read_manifest(store)
    known = before.tokens if before else ()
    token_shards = [token_file(store, index) for index in range(len(known), order.shards)]
    counts = [shard.tokens for shard in known] + [shard.tokens for shard in token_shards]
    columns = {}
    for point in order.hook_points:
        there = len(before.columns[point].shards) if before and point in before.columns else 0
        columns[point] = [
            shard_file(store, point, index, counts[index]) for index in range(there, order.shards)
        ]
    return token_shards, columns


def _summaries(store: Place, manifest: Manifest) -> list[ColumnSummary]:
    opened = open_store(store)
    found = []
    for name in opened.columns:
        entry, stats = manifest.columns[name], opened[name].stats
        error = entry.quantization_error
        found.append(
            ColumnSummary(
                hook_point=name,
                tokens=entry.tokens,
                width=entry.width,
                bytes=entry.bytes,
                mean_norm=stats.mean_norm,
                median_norm=stats.quantiles["p50"],
                max_abs=stats.max_abs,
                non_finite=stats.non_finite,
                overflow=stats.overflow,
                quantization_error=None if error is None else QuantizationError(**vars(error)),
            )
        )
    return found


def _damaged() -> ExtractionFailed:
    return ExtractionFailed(
        "A captured file is missing or is not what was written.",
        reason="store_damaged",
        remedy="Ask for the extraction again; if it happens twice, look at the disk.",
    )
