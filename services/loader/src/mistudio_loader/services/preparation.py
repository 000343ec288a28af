"""Preparing a model: from a directory or a repository to an artifact on the pool's disk.

Runs inside a child process, which may be killed at any moment: what is visible is complete, and
what is not is swept or resumed by the next attempt.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from mistudio_contracts import Dtype, LoadStage, Quantization, Source
from mistudio_contracts.errors import InvalidInput, ModelLoadFailed
from mistudio_contracts.values import Fidelity, ModelFacts, QuantizationOptions
from mistudio_loader.domain.checkpoint import CONFIG, WeightFormat
from mistudio_loader.domain.fingerprint import artifact_fingerprint
from mistudio_loader.domain.progress import Step
from mistudio_loader.domain.recipes import QUANTIZED, check_family, quantization_config
from mistudio_loader.hub.client import HubClient
from mistudio_loader.jobs import Prepared, PrepareJob
from mistudio_loader.storage.artifacts import MANIFEST, ArtifactManifest, StoredFile, find_artifact
from mistudio_loader.storage.digests import DigestIndex, Stamp
from mistudio_loader.storage.disk import disk_errors, require_space, write_file
from mistudio_loader.storage.roots import LocalRoots
from mistudio_loader.storage.staging import Workshop

from .checkpoints import HubCheckpoint, LocalCheckpoint, open_checkpoint
from .converting import as_safetensors
from .fetching import Fetched, fetch
from .fidelity import measure
from .inspection import Inspection, inspect
from .quantizing import Matrices, find_matrices
from .room import needed_bytes
from .writing import COMPARING, warnings_of, without_paths, write_small, write_weights

_TARGETS: dict[Quantization, Dtype] = {
    Quantization.FP16: Dtype.FLOAT16,
    Quantization.BF16: Dtype.BFLOAT16,
}


class Preparation:
    """One attempt at one model.

    Parameters
    ----------
    job
        What to prepare, and where.
    tell
        Called with each step.
    """

    def __init__(self, job: PrepareJob, tell: Callable[[Step], None]) -> None:
        self._job = job
        self._tell = tell
        self._workshop = Workshop(job.root)
        self._digests = DigestIndex(job.root)

    def run(self) -> Prepared:
        """Prepare the model, or find it prepared.

        Raises
        ------
        InvalidInput
            The checkpoint cannot be prepared; nothing but the user's input can mend it.
        ModelLoadFailed
            Transient, ``reason`` ``checksum_mismatch`` or ``source_changed``.
        InsufficientStorage
            The disk is or became full.
        ServiceUnavailable
            The hub does not answer.
        """
        job = self._job
        self._tell(Step(LoadStage.RESOLVING, "Reading the checkpoint's config and headers."))
        checkpoint = open_checkpoint(
            job.source,
            job.model_identifier,
            job.revision,
            LocalRoots(job.local_roots),
            lambda: HubClient(job.endpoint, job.token),
        )
        inspection = inspect(checkpoint)
        self._check_wanted(inspection)
        with disk_errors(job.root):
            small = {name: checkpoint.read(name) for name in inspection.selection.small}
            if isinstance(checkpoint, HubCheckpoint):
                return self._from_hub(checkpoint, inspection, small)
            return self._from_directory(checkpoint, inspection, small)

    def _check_wanted(self, inspection: Inspection) -> None:
        check_family(inspection.facts.model_type, self._job.quantization)
        if inspection.stored is not None:
            inspection.stored.check_wanted(self._job.quantization)
        if inspection.selection.format is WeightFormat.SAFETENSORS:
            self._target_dtype(inspection)

    def _target_dtype(self, inspection: Inspection) -> Dtype:
        wanted = self._job.quantization
        if wanted in _TARGETS:
            return _TARGETS[wanted]
        if inspection.facts.dtype is None:
            raise InvalidInput(
                "The weights are float64, which cannot be kept as they are.",
                field="quantization",
                reason="unsupported_dtype",
                remedy="Use fp16 or bf16.",
            )
        return inspection.facts.dtype

    def _format(self, inspection: Inspection) -> tuple[Quantization, QuantizationOptions]:
        """Return what the artifact is to be; a quantised checkpoint stays what it is."""
        if inspection.stored is not None:
            return inspection.stored.quantization, inspection.stored.options
        return self._job.quantization, self._job.quantization_options

    def _matrices(self, inspection: Inspection, dtype: Dtype) -> Matrices | None:
        quantization, options = self._format(inspection)
        if quantization not in QUANTIZED or inspection.stored is not None:
            return None
        names = {t.name for header in inspection.headers.values() for t in header.tensors}
        return find_matrices(inspection.facts.config, names, quantization, options, dtype)

    def _from_hub(
        self, checkpoint: HubCheckpoint, inspection: Inspection, small: dict[str, bytes]
    ) -> Prepared:
        announced = {n: checkpoint.repository.files[n].sha256 for n in inspection.selection.weights}
        found = self._existing(inspection, small, announced)
        if found:
            return found
        with fetch(
            checkpoint,
            inspection.selection.weights,
            self._job.root,
            self._tell,
            self._job.reserve_bytes + needed_bytes(inspection, self._job.quantization, linked=True),
        ) as fetched:
            found = self._existing(inspection, small, dict(fetched.digests))
            if found is None:
                found = self._make(inspection, small, fetched)
            fetched.done()
        return found

    def _from_directory(
        self, checkpoint: LocalCheckpoint, inspection: Inspection, small: dict[str, bytes]
    ) -> Prepared:
        self._tell(Step(LoadStage.RESOLVING, "Looking for an artifact of the same files."))
        directory, names = checkpoint.directory, inspection.selection.weights
        stamps = {name: Stamp.of(directory / name) for name in names}
        digests = {name: self._digests.get(directory / name) for name in names}
        found = self._existing(inspection, small, digests)
        if found:
            return found
        needed = needed_bytes(inspection, self._job.quantization, linked=False)
        require_space(self._job.root, needed, self._job.reserve_bytes)
        return self._make(inspection, small, Fetched(directory, digests), stamps)

    def _fingerprint(
        self, inspection: Inspection, small: dict[str, bytes], weights: Mapping[str, str]
    ) -> str:
        return artifact_fingerprint(
            weights,
            _sha256(small.get(CONFIG, b"")),
            {name: _sha256(small[name]) for name in inspection.selection.tokenizer},
            *self._format(inspection),
        )

    def _existing(
        self, inspection: Inspection, small: dict[str, bytes], digests: dict[str, str | None]
    ) -> Prepared | None:
        known = {name: digest for name, digest in digests.items() if digest is not None}
        if len(known) != len(digests):
            return None
        fingerprint = self._fingerprint(inspection, small, known)
        manifest = find_artifact(self._job.root, fingerprint)
        if manifest is None:
            return None
        facts = inspection.facts
        if inspection.selection.format is not WeightFormat.SAFETENSORS:
            # Only the conversion could tell dtype and parameters.
            facts = manifest.facts.model_copy(update={"revision": facts.revision})
        return self._prepared(inspection, facts, manifest)

    @staticmethod
    def _prepared(
        inspection: Inspection, facts: ModelFacts, manifest: ArtifactManifest
    ) -> Prepared:
        options = inspection.stored.options if inspection.stored else None
        return Prepared(
            facts=facts,
            artifact=manifest.artifact(),
            options=options,
            fidelity=manifest.fidelity,
        )

    def _make(
        self,
        inspection: Inspection,
        small: dict[str, bytes],
        fetched: Fetched,
        stamps: dict[str, Stamp] | None = None,
    ) -> Prepared:
        quantization, options = self._format(inspection)
        with (
            as_safetensors(
                inspection, small, fetched, self._workshop, self._job.task_id, self._tell
            ) as source,
            self._workshop.stage(self._job.task_id) as staging,
        ):
            made = source.inspection
            dtype = self._target_dtype(made)
            cast_to = None if self._job.quantization is Quantization.NONE or made.stored else dtype
            matrices = self._matrices(made, dtype)
            written = write_weights(made, source.fetched, staging, cast_to, matrices, self._tell)
            sources = source.origins or {n: w.source_sha256 for n, w in written.items()}
            for name, digest in sources.items():
                self._check_source(fetched, name, digest, stamps)
            kept = None if made.stored else quantization_config(quantization, options)
            files = write_small(made, source.small, staging, dtype, kept)
            fidelity = self._compare(made, source.fetched, staging) if matrices else None
            files += [
                StoredFile(name=n, bytes=w.bytes, sha256=w.sha256) for n, w in written.items()
            ]
            fingerprint = self._fingerprint(inspection, small, sources)
            from_hub = self._job.source is Source.HUGGINGFACE
            manifest = ArtifactManifest(
                fingerprint=fingerprint,
                source=self._job.source,
                model_identifier=self._job.model_identifier if from_hub else None,
                revision=inspection.facts.revision,
                quantization=quantization,
                quantization_options=options if quantization is Quantization.INT4 else None,
                dtype=dtype,
                bytes=sum(done.bytes for done in written.values()),
                files=sorted(files, key=lambda f: f.name),
                source_sha256={**sources, **{name: _sha256(raw) for name, raw in small.items()}},
                facts=without_paths(made.facts),
                fidelity=fidelity,
                warnings=warnings_of(made),
                tools=_tools(),
            )
            write_file(staging / MANIFEST, manifest.to_bytes())
            if find_artifact(self._job.root, fingerprint) is None:
                self._workshop.remove(fingerprint)
            fetched.making(fingerprint)
            self._workshop.publish(staging, fingerprint)
        return self._prepared(inspection, made.facts, manifest)

    def _compare(self, inspection: Inspection, fetched: Fetched, staging: Path) -> Fidelity:
        total = inspection.file_bytes

        def tell_done(done: int, blocks: int) -> None:
            part = int(total * COMPARING * done / blocks)
            self._tell(
                Step(
                    LoadStage.QUANTIZING,
                    "Comparing with the reference.",
                    total + part,
                    total + int(total * COMPARING),
                )
            )

        names = inspection.selection.weights
        return measure(inspection.facts.config, fetched.directory, names, staging, tell_done)

    def _check_source(
        self, fetched: Fetched, name: str, digest: str, stamps: dict[str, Stamp] | None
    ) -> None:
        known = fetched.digests[name]
        changed = known is not None and known != digest
        if stamps is not None and not changed:
            changed = Stamp.of(fetched.directory / name) != stamps[name]
        if changed:
            raise ModelLoadFailed(
                f"{name} changed while it was read.",
                transient=True,
                reason="source_changed",
                file=name,
                remedy="Load the model again once the files are complete.",
            )
        if stamps is not None:
            self._digests.put(fetched.directory / name, stamps[name], digest)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tools() -> dict[str, str]:
    packages = ("mistudio-loader", "torch", "huggingface-hub", "transformers", "bitsandbytes")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
