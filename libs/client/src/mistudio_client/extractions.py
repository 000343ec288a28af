"""``client.extractions``: follow, list and cancel extractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.frames import Frame
from mistudio_contracts.states import BlockKind, Dtype, ExtractionStatus
from mistudio_contracts.views import (
    Extraction,
    ExtractionAccepted,
    ExtractionEstimate,
    ExtractionPage,
)

from .events import EventStream, select
from .paging import every
from .transport import Transport
from .waiting import wait_until

_ENDS = frozenset({"extraction:completed", "extraction:failed", "extraction:cancelled"})


@dataclass(frozen=True)
class Step:
    """Where an extraction is.

    ``total`` is None until its samples were counted, ``seconds_left`` until there is a pace.
    """

    status: ExtractionStatus
    progress: float
    samples: int
    total: int | None
    seconds_left: float | None = None


OnStep = Callable[[Step], None]


class Extractions:
    """The extractions of a service. Ids begin with ``ext_``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def request(
        self,
        model_id: str,
        dataset_id: str,
        *,
        layer_indices: Sequence[int] | str = (),
        hook_kinds: Sequence[BlockKind | str] = (BlockKind.RESID_POST,),
        hook_points: Sequence[str] = (),
        sample_count: int | None = None,
        batch_size: int | None = None,
        dtype: Dtype | str | None = None,
        column: str | None = None,
        add_special_tokens: bool = True,
        max_length: int | None = None,
        truncate: bool = False,
        stride: int | None = None,
    ) -> ExtractionAccepted:
        """Ask for the activations of a model over a dataset.

        Parameters
        ----------
        model_id, dataset_id
            Of which model, over which dataset.
        layer_indices
            Of the blocks, or a text such as ``0-5,11`` or ``all``; a negative one counts from the
            last.
        hook_kinds
            What to capture in each of them.
        hook_points
            More of them by name, such as ``embed``, ``layers.6.z`` or ``layers.0-5.mlp_out``.
        sample_count
            The first so many samples; None for all.
        batch_size
            Most samples in one batch; None lets the service choose.
        dtype
            Of the stored values; None for the model's own.
        column
            The dataset's column to tokenise; None for its text column.
        add_special_tokens
            Whether the tokenizer adds its own tokens, such as a beginning of sequence.
        max_length
            Most tokens of a sample; None for the model's context.
        truncate
            Cut longer samples; otherwise they are left out and counted.
        stride
            Cut longer samples into windows of ``max_length`` that begin so many tokens apart, each
            with the tokenizer's own special tokens; not together with ``truncate``.

        Returns
        -------
        ExtractionAccepted
            ``completed`` at once when the cache has it all; else follow with :meth:`wait`.

        Raises
        ------
        MiStudioError
            What the service answered.
        """
        return self._transport.post(
            ExtractionAccepted,
            f"/models/{model_id}/extract-activations",
            _body(
                dataset_id,
                layer_indices=layer_indices,
                hook_kinds=hook_kinds,
                hook_points=hook_points,
                sample_count=sample_count,
                batch_size=batch_size,
                dtype=dtype,
                column=column,
                add_special_tokens=add_special_tokens,
                max_length=max_length,
                truncate=truncate,
                stride=stride,
            ),
        )

    def estimate(self, model_id: str, dataset_id: str, **asked: Any) -> ExtractionEstimate:
        """Tell what an extraction would take; nothing is begun.

        Parameters
        ----------
        model_id, dataset_id
            Of which model, over which dataset.
        **asked
            As :meth:`request` takes it.

        Raises
        ------
        MiStudioError
            What the service answered.
        """
        path = f"/models/{model_id}/extract-activations/estimate"
        return self._transport.post(ExtractionEstimate, path, _body(dataset_id, **asked))

    def list(
        self,
        *,
        model_id: str | None = None,
        dataset_id: str | None = None,
        status: ExtractionStatus | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> ExtractionPage:
        """Return a page of extractions, newest first."""
        return self._transport.get(
            ExtractionPage,
            "/extractions",
            model_id=model_id,
            dataset_id=dataset_id,
            status=status,
            limit=limit,
            offset=offset,
        )

    def iterate(self, **filters: Any) -> Iterator[Extraction]:
        """Yield every extraction that the filters of :meth:`list` let through."""
        yield from every(self.list, lambda page: page.extractions, **filters)

    def get(self, extraction_id: str) -> Extraction:
        """Return an extraction."""
        return self._transport.get(Extraction, f"/extractions/{extraction_id}")

    def cancel(self, extraction_id: str) -> Extraction:
        """Cancel an extraction that has not ended."""
        return self._transport.post(Extraction, f"/extractions/{extraction_id}/cancel")

    def wait(
        self,
        extraction_id: str,
        *,
        on_progress: OnStep | None = None,
        timeout: float | None = None,
    ) -> Extraction:
        """Return the extraction when it is completed or cancelled.

        Parameters
        ----------
        extraction_id
            Which.
        on_progress
            Called with each step.
        timeout
            Seconds; None to wait for ever.

        Raises
        ------
        MiStudioError
            The reason why it failed.
        TimeoutError
            When ``timeout`` has passed first.
        """

        def on_state(found: Extraction) -> None:
            if on_progress is not None:
                on_progress(
                    Step(
                        found.status,
                        found.progress,
                        found.samples_processed,
                        found.total_samples,
                        found.seconds_left,
                    )
                )

        def on_frame(frame: Frame) -> None:
            if on_progress is not None and frame.type == "extraction:progress":
                data = frame.data
                on_progress(
                    Step(
                        ExtractionStatus(data["status"]),
                        float(data["progress"]),
                        int(data["samples_processed"]),
                        int(data["total_samples"]),
                        data.get("seconds_left"),
                    )
                )

        extraction = wait_until(
            EventStream(
                self._transport.address,
                select(models=[], datasets=[], extractions=[extraction_id], devices=False),
            ),
            lambda: self.get(extraction_id),
            lambda found: found.status.terminal,
            ends=_ENDS,
            on_state=on_state,
            on_frame=on_frame,
            timeout=timeout,
        )
        if extraction.status is ExtractionStatus.FAILED and extraction.error is not None:
            raise MiStudioError.from_body(extraction.error)
        return extraction


def _body(
    dataset_id: str,
    *,
    layer_indices: Sequence[int] | str = (),
    hook_kinds: Sequence[BlockKind | str] = (BlockKind.RESID_POST,),
    hook_points: Sequence[str] = (),
    sample_count: int | None = None,
    batch_size: int | None = None,
    dtype: Dtype | str | None = None,
    column: str | None = None,
    add_special_tokens: bool = True,
    max_length: int | None = None,
    truncate: bool = False,
    stride: int | None = None,
) -> dict[str, Any]:
    tokenization = {
        "column": column,
        "add_special_tokens": add_special_tokens,
        "max_length": max_length,
        "truncate": truncate,
        "stride": stride,
    }
    body: dict[str, Any] = {
        "dataset_id": dataset_id,
        "layer_indices": layer_indices if isinstance(layer_indices, str) else [*layer_indices],
        "hook_kinds": [str(kind) for kind in hook_kinds],
        "hook_points": [*hook_points],
        "sample_count": sample_count,
        "batch_size": batch_size,
        "dtype": None if dtype is None else str(dtype),
        "tokenization": {k: v for k, v in tokenization.items() if v is not None},
    }
    return {key: value for key, value in body.items() if value is not None}
