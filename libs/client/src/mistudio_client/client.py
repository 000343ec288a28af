"""The client: one object for everything that a miStudio service offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mistudio_contracts.views import DevicePage

from .activations import Activations
from .address import Address, find_address, local_address
from .audit import Audit
from .datasets import Datasets
from .events import EventStream, select
from .extractions import Extractions
from .letters import DeadLetters
from .models import Models
from .transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Self


class Client:
    """A connection to a miStudio service.

    Parameters
    ----------
    url
        The gateway, such as ``http://127.0.0.1:8420``. By default ``MISTUDIO_URL``, else the
        stack that runs on this machine.
    token
        An access token. By default ``MISTUDIO_TOKEN``, else the local stack's own.
    timeout
        Seconds of silence after which a request is given up.

    Raises
    ------
    Unreachable
        When no service is named and none runs here.

    Examples
    --------
    >>> with Client() as client:  # doctest: +SKIP
    ...     model = client.models.add("openai-community/gpt2", auto_load=True)
    ...     dataset = client.datasets.upload("corpus.jsonl")
    ...     client.models.wait(model.id)
    ...     client.datasets.wait(dataset.id)
    ...     asked = client.extract(model.id, dataset.id, layer_indices=[0, 6, -1])
    ...     done = client.extractions.wait(asked.extraction_id)
    ...     client.activations.download(done.cache_id, "activations")
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, timeout: float = 60.0
    ) -> None:
        self._transport = Transport(find_address(url, token), timeout)
        self.timeout = timeout
        self.models = Models(self._transport)
        self.datasets = Datasets(self._transport)
        self.extractions = Extractions(self._transport)
        self.activations = Activations(self._transport)
        self.audit = Audit(self._transport)
        self.dead_letters = DeadLetters(self._transport)
        self.extract = self.extractions.request

    @classmethod
    def from_data_dir(cls, data_dir: Path | str, timeout: float = 60.0) -> Self:
        """Return a client of the stack that runs on a data directory of this machine.

        Raises
        ------
        Unreachable
            When none runs there.
        """
        address = local_address(Path(data_dir))
        return cls(address.url, address.token, timeout)

    @property
    def url(self) -> str:
        """The gateway."""
        return self.address.url

    @property
    def token(self) -> str:
        """The access token in use; empty when there is none."""
        return self.address.token

    @property
    def address(self) -> Address:
        """Where this client connects to."""
        return self._transport.address

    def devices(self) -> DevicePage:
        """Return the devices and what they hold."""
        return self._transport.get(DevicePage, "/devices")

    def events(
        self,
        *,
        after: int | None = None,
        models: Sequence[str] | None = None,
        datasets: Sequence[str] | None = None,
        extractions: Sequence[str] | None = None,
        devices: bool = True,
    ) -> EventStream:
        """Return an iterator over events that reconnects by itself.

        Parameters
        ----------
        after
            Id of the last event seen: what came since is replayed first; 0 for everything that
            is still kept; None for what happens from now on.
        models, datasets, extractions
            Ids to hear of; None for all of that kind, an empty sequence for none.
        devices
            Whether to hear of devices.
        """
        return EventStream(
            self.address,
            select(
                after=after,
                models=models,
                datasets=datasets,
                extractions=extractions,
                devices=devices,
            ),
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
