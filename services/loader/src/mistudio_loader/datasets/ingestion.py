"""Ingesting a dataset, inside a child process: read, check, write the canonical form."""

from __future__ import annotations

from pathlib import Path

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import DatasetFormat
from mistudio_contracts.values import DatasetFacts
from mistudio_loader.jobs import IngestJob
from mistudio_loader.storage.canonical import DATA, FACTS, has_dataset
from mistudio_loader.storage.digests import canonical_json
from mistudio_loader.storage.disk import disk_errors, require_space, write_file
from mistudio_loader.storage.staging import Workshop

from .canonical import write_canonical
from .columns import choose_text_column
from .formats import decide_format, open_reader
from .limits import require_columns, require_size
from .problems import bad_data


def ingest(job: IngestJob) -> DatasetFacts:
    """Write the canonical dataset, or find that it is there, and return its facts.

    Raises
    ------
    InvalidInput
        The content, the column or the hub id is wrong; the details say where.
    PayloadTooLarge
        The dataset is larger than allowed.
    InsufficientStorage
        The disk is or became full.
    ServiceUnavailable
        The hub does not answer.
    """
    try:
        return _ingest(job)
    except MemoryError:
        raise bad_data(
            "needs_too_much_memory",
            f"To read the dataset takes more than {job.memory_bytes} bytes of memory.",
            "Write it with smaller values and row groups, or raise DATASET_MEMORY_BYTES.",
            max_bytes=job.memory_bytes,
        ) from None


def _ingest(job: IngestJob) -> DatasetFacts:
    workshop = Workshop(job.root)
    with disk_errors(job.root), workshop.stage(job.task_id) as staging:
        source, form = _source(job, staging)
        size = source.stat().st_size
        require_size(size, job.max_bytes)
        require_space(job.root, size, job.reserve_bytes)
        reader = open_reader(source, job.name, form)
        if not reader.columns:
            raise _empty()
        require_columns(len(reader.columns))
        output = staging / "canonical"
        output.mkdir()
        written = write_canonical(reader, output, job.max_bytes)
        if written.rows == 0:
            raise _empty()
        facts = DatasetFacts(
            fingerprint=written.fingerprint,
            format=form,
            sample_count=written.rows,
            file_size_bytes=(output / DATA).stat().st_size if job.hub else size,
            columns={column.name: column.kind for column in reader.columns},
            text_column=choose_text_column(reader.columns, job.text_column),
            preview=written.preview,
        )
        write_file(output / FACTS, canonical_json(facts.model_dump(mode="json")))
        if not has_dataset(job.root, facts.fingerprint):
            workshop.remove(facts.fingerprint)
        workshop.publish(output, facts.fingerprint)
    return facts


def _source(job: IngestJob, staging: Path) -> tuple[Path, DatasetFormat]:
    if job.hub is not None:
        from .hubdata import stream_dataset

        target = staging / "hub.parquet"
        stream_dataset(
            job.hub.repo_id,
            target,
            split=job.hub.split,
            subset=job.hub.subset,
            revision=job.hub.revision,
            endpoint=job.hub.endpoint,
            token=job.hub.token,
            max_bytes=job.max_bytes,
        )
        return target, DatasetFormat.PARQUET
    if job.file is None or not job.file.is_file():
        raise InvalidInput(
            f"{job.name} is not a file.",
            field="identifier",
            reason="not_a_file",
            remedy="Name one file of JSON Lines, text, CSV or Parquet.",
        )
    return job.file, decide_format(job.file, job.name, job.format)


def _empty() -> InvalidInput:
    return bad_data("empty_dataset", "The dataset has no rows.", "Provide at least one sample.")
