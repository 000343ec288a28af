"""``client.models``: register, load, unload and wait for models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from mistudio_contracts.errors import ErrorCode, MiStudioError
from mistudio_contracts.frames import Frame
from mistudio_contracts.states import ModelStatus, Quantization, Source
from mistudio_contracts.values import QuantizationOptions
from mistudio_contracts.views import HookPointList, LoadAccepted, Model, ModelPage, ModelSummary

from .address import Address
from .estimates import Estimates
from .events import EventStream, select
from .names import the_one
from .paging import every
from .transport import Transport
from .waiting import wait_until

OnModel = Callable[[float, str], None]
"""Called with progress in percent and what is being done."""

AS_IS: Final = -1.0
"""A keep-alive that leaves what is: None is a value of its own."""

_ENDS = frozenset({"model:ready", "model:failed", "model:unloaded", "model:deleted"})


class Models(Estimates):
    """The models of a service. Ids begin with ``m_``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def _address(self) -> Address:
        return self._transport.address

    def add(
        self,
        name: str,
        *,
        model_identifier: str | None = None,
        source: Source | str = Source.HUGGINGFACE,
        model_type: str | None = None,
        revision: str | None = None,
        quantization: Quantization | str = Quantization.NONE,
        quantization_options: QuantizationOptions | None = None,
        pinned: bool = False,
        keep_alive_seconds: float | None = None,
        offload: bool = False,
        auto_load: bool = False,
    ) -> Model:
        """Register a model.

        Parameters
        ----------
        name
            What people call it.
        model_identifier
            A hub id such as ``openai-community/gpt2``, or the absolute path of a checkpoint's
            directory on the service's machine; ``name`` by default.
        source
            Where ``model_identifier`` points to.
        model_type
            Checked against the checkpoint's config when given.
        revision
            A branch, tag or commit on the hub.
        quantization
            How the weights are kept on the device.
        quantization_options
            How int4 is made: its code book, and whether its scales are quantised too.
        pinned
            Never evicted, and brought back when its device starts, until somebody unloads it.
        keep_alive_seconds
            Seconds without use after which it leaves device memory; None keeps it.
        offload
            Read the blocks that do not fit from the disk at each batch.
        auto_load
            Begin to load at once.

        Raises
        ------
        MiStudioError
            What the service answered.
        """
        body: dict[str, Any] = {
            "name": name,
            "source": str(source),
            "model_identifier": model_identifier or name,
            "quantization": str(quantization),
            "pinned": pinned,
            "keep_alive_seconds": keep_alive_seconds,
            "offload": offload,
            "auto_load": auto_load,
        }
        if quantization_options is not None:
            body["quantization_options"] = quantization_options.model_dump(mode="json")
        if model_type is not None:
            body["model_type"] = model_type
        if revision is not None:
            body["revision"] = revision
        return self._transport.post(Model, "/models", body)

    def list(
        self,
        *,
        status: ModelStatus | None = None,
        model_type: str | None = None,
        search: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> ModelPage:
        """Return a page of models, newest first; ``search`` is a part of a name."""
        return self._transport.get(
            ModelPage,
            "/models",
            status=status,
            model_type=model_type,
            search=search,
            limit=limit,
            offset=offset,
        )

    def iterate(self) -> Iterator[ModelSummary]:
        """Yield every model."""
        yield from every(self.list, lambda page: page.models)

    def get(self, model_id: str) -> Model:
        """Return a model with its config."""
        return self._transport.get(Model, f"/models/{model_id}")

    def get_tagged(self, model_id: str) -> tuple[Model, str]:
        """Return a model and its ETag, for :meth:`update`'s ``if_match``."""
        return self._transport.get_tagged(Model, f"/models/{model_id}")

    def hook_points(self, model_id: str) -> HookPointList:
        """Return where the model's activations can be captured, as proven at its load.

        Raises
        ------
        StatusConflict
            When it was never loaded.
        """
        return self._transport.get(HookPointList, f"/models/{model_id}/hook-points")

    def find(self, reference: str) -> ModelSummary:
        """Return the model with this id, else name, else identifier.

        Raises
        ------
        NotFound
            When there is none.
        InvalidArgument
            With reason ``ambiguous`` when there are several.
        """
        return the_one(
            reference,
            self.iterate(),
            (lambda m: m.id, lambda m: m.name, lambda m: m.model_identifier),
            kind="model",
            code=ErrorCode.MODEL_NOT_FOUND,
        )

    def update(
        self,
        model_id: str,
        *,
        name: str | None = None,
        quantization: Quantization | str | None = None,
        quantization_options: QuantizationOptions | None = None,
        pinned: bool | None = None,
        keep_alive_seconds: float | None = AS_IS,
        offload: bool | None = None,
        if_match: str | None = None,
    ) -> Model:
        """Change a model that is not loading.

        Parameters
        ----------
        model_id
            Which.
        name, quantization, quantization_options, pinned, offload
            The new values; None leaves as is.
        keep_alive_seconds
            The new value; None lets the model stay for good, ``AS_IS`` leaves as is.
        if_match
            The ETag last seen: the change is refused when someone else was faster.
        """
        named = {"name": name, "pinned": pinned, "offload": offload}
        body: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
        body.update(_format(quantization, quantization_options))
        if keep_alive_seconds != AS_IS:
            body["keep_alive_seconds"] = keep_alive_seconds
        headers = {} if if_match is None else {"If-Match": if_match}
        return self._transport.patch(Model, f"/models/{model_id}", body, headers)

    def delete(self, model_id: str) -> None:
        """Delete a model and its activation caches."""
        self._transport.delete(f"/models/{model_id}")

    def load(
        self,
        model_id: str,
        *,
        quantization: Quantization | str | None = None,
        quantization_options: QuantizationOptions | None = None,
        force: bool = False,
    ) -> LoadAccepted:
        """Begin to load a model; :meth:`wait` tells when it is ready.

        Parameters
        ----------
        model_id
            Which.
        quantization, quantization_options
            The format; None keeps what is registered.
        force
            Place it whatever the estimate says. What then does not fit fails.
        """
        body = {**_format(quantization, quantization_options), "force": force}
        return self._transport.post(LoadAccepted, f"/models/{model_id}/load", body)

    def cancel(self, model_id: str) -> Model:
        """Cancel the load under way."""
        return self._transport.post(Model, f"/models/{model_id}/load/cancel")

    def unload(self, model_id: str) -> Model:
        """Free the device memory; the prepared artifact stays on disk.

        A pinned model is pinned no longer: it stays out until somebody loads it.
        """
        return self._transport.post(Model, f"/models/{model_id}/unload")

    def wait(
        self, model_id: str, *, on_progress: OnModel | None = None, timeout: float | None = None
    ) -> Model:
        """Return the model when its load is over; at once when none is under way.

        Parameters
        ----------
        model_id
            Which.
        on_progress
            Called with each step.
        timeout
            Seconds; None to wait for ever.

        Raises
        ------
        MiStudioError
            The reason why the load failed.
        TimeoutError
            When ``timeout`` has passed first.
        """

        def on_state(model: Model) -> None:
            if on_progress is not None and model.status is ModelStatus.LOADING:
                on_progress(model.progress, model.stage.value if model.stage else "waiting")

        def on_frame(frame: Frame) -> None:
            if on_progress is not None and frame.type == "model:loading":
                stage, message = frame.data.get("stage"), frame.data.get("message")
                what = message if frame.data.get("retry") else stage or message
                on_progress(float(frame.data.get("progress", 0.0)), str(what or "waiting"))

        model = wait_until(
            EventStream(
                self._address, select(models=[model_id], datasets=[], extractions=[], devices=False)
            ),
            lambda: self.get(model_id),
            lambda found: found.status is not ModelStatus.LOADING,
            ends=_ENDS,
            on_state=on_state,
            on_frame=on_frame,
            timeout=timeout,
        )
        if model.status is ModelStatus.FAILED and model.error is not None:
            raise MiStudioError.from_body(model.error)
        return model


def _format(
    quantization: Quantization | str | None, options: QuantizationOptions | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if quantization is not None:
        found["quantization"] = str(quantization)
    if options is not None:
        found["quantization_options"] = options.model_dump(mode="json")
    return found
