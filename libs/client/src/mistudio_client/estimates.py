"""Will a model fit, and in which format: before it is loaded, or even registered."""

from __future__ import annotations

from typing import Any

from mistudio_contracts.states import Quantization, Source
from mistudio_contracts.values import QuantizationOptions
from mistudio_contracts.views import Estimate

from .transport import Transport


class Estimates:
    """The part of ``client.models`` that asks for estimates."""

    _transport: Transport

    def estimate(
        self,
        model_id: str,
        *,
        quantization: Quantization | str | None = None,
        quantization_options: QuantizationOptions | None = None,
    ) -> Estimate:
        """Tell what a registered model takes in each format, and whether that fits.

        Parameters
        ----------
        model_id
            Which.
        quantization
            Tell of this format alone; None tells of all.
        quantization_options
            How int4 is made.

        Raises
        ------
        MiStudioError
            What the service answered.
        """
        named: dict[str, Any] = {} if quantization is None else {"quantization": str(quantization)}
        if quantization_options is not None:
            named |= quantization_options.model_dump(mode="json")
        return self._transport.get(Estimate, f"/models/{model_id}/estimate", **named)

    def fit(
        self,
        model_identifier: str,
        *,
        source: Source | str = Source.HUGGINGFACE,
        revision: str | None = None,
        quantization: Quantization | str | None = None,
        quantization_options: QuantizationOptions | None = None,
    ) -> Estimate:
        """Tell the same of a checkpoint that is not registered; only its config is read.

        Parameters
        ----------
        model_identifier
            Its id on the hub, or its absolute path on the service's machine.
        source
            ``huggingface``, ``local`` or ``custom``.
        revision
            A branch, tag or commit on the hub.
        quantization, quantization_options
            As in :meth:`estimate`.

        Raises
        ------
        MiStudioError
            What the service answered.
        """
        body: dict[str, Any] = {"source": str(source), "model_identifier": model_identifier}
        if revision is not None:
            body["revision"] = revision
        if quantization is not None:
            body["quantization"] = str(quantization)
        if quantization_options is not None:
            body["quantization_options"] = quantization_options.model_dump(mode="json")
        return self._transport.post(Estimate, "/estimates", body)
