"""Telling those who watch a load that it is tried again."""

from collections.abc import Awaitable, Callable

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import LoadProgressedReport
from mistudio_contracts.states import LoadStage
from mistudio_contracts.work import PlaceModel, PrepareModel

from .bus import Publisher
from .delivery import Delivery

LOAD_RETRIES = 3
"""How often a load is tried again whose failure may pass."""

TellRetry = Callable[[PrepareModel | PlaceModel, MiStudioError, Delivery, float], Awaitable[None]]


def tell_load_retry(publisher: Publisher, retries: int = LOAD_RETRIES) -> TellRetry:
    """Return an ``on_retry`` for the orders of a load, which tells why and when it goes on.

    Parameters
    ----------
    publisher
        Of a service that may publish live progress of loads.
    retries
        As given to :func:`~.consume.consume`.
    """

    async def tell(
        order: PrepareModel | PlaceModel, error: MiStudioError, delivery: Delivery, pause: float
    ) -> None:
        placing = isinstance(order, PlaceModel)
        report = LoadProgressedReport(
            task_id=order.task_id,
            model_id=order.model_id,
            stage=LoadStage.PLACING if placing else LoadStage.RESOLVING,
            # The catalog keeps what the load had reached.
            progress=0,
            message=f"Trying again ({delivery.attempt} of {retries}) in {pause:g} s: "
            f"{error.message}",
            retry=delivery.attempt,
        )
        await publisher.publish(subjects.LIVE_LOAD, report, entity_id=order.model_id)

    return tell
