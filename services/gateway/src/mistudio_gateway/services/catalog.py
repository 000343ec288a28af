"""Asking the catalog, and the extractors' stores, by request/reply."""

from __future__ import annotations

import logging
from typing import TypeVar

from faststream.nats import NatsBroker
from pydantic import BaseModel

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.rpc import GetCacheRequest
from mistudio_contracts.subjects import Subject
from mistudio_contracts.views import Cache
from mistudio_servicekit import rpc

from .shared import Shared

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=BaseModel)

LOOKED_AT = frozenset(
    {
        subjects.RPC_CACHE_LIST,
        subjects.RPC_DATASET_GET,
        subjects.RPC_DATASET_LIST,
        subjects.RPC_DEVICE_LIST,
        subjects.RPC_EXTRACTION_GET,
        subjects.RPC_EXTRACTION_LIST,
        subjects.RPC_HOOK_POINT_LIST,
        subjects.RPC_MODEL_GET,
        subjects.RPC_MODEL_LIST,
    }
)
"""Questions that change nothing and are answered alike whoever asks."""


class Catalog:
    """The gateway's only way to a durable fact.

    Parameters
    ----------
    broker
        The broker whose connection carries the questions.
    pool
        The pool whose stores are read.
    timeout
        Seconds to wait for an answer.
    """

    def __init__(self, broker: NatsBroker, pool: str, timeout: float) -> None:
        self._broker = broker
        self._pool = pool
        self._timeout = timeout
        self._shared: Shared[BaseModel] = Shared()

    async def ask(
        self,
        subject: Subject,
        request: BaseModel,
        answer: type[Answer],
        *,
        timeout: float | None = None,
    ) -> Answer:
        """Ask and return the answer. Who looks at the same at once shares one question.

        Parameters
        ----------
        subject
            A request subject of the contract.
        request
            Its payload.
        answer
            The class of its reply.
        timeout
            Seconds, when this question takes longer than others.

        Raises
        ------
        MiStudioError
            What the service answered, or ``SERVICE_UNAVAILABLE`` when none did.
        """

        async def ask() -> BaseModel:
            return await rpc.call(
                self._broker, subject, request, pool=self._pool, timeout=timeout or self._timeout
            )

        if subject in LOOKED_AT:
            wanted = request.model_dump_json(exclude={"actor"})
            reply = await self._shared.of((subject, wanted), ask)
        else:
            reply = await ask()
        if not isinstance(reply, answer):
            logger.error(
                "an answer of the wrong kind",
                extra={"subject": subject.pattern, "kind": type(reply).__name__},
            )
            raise MiStudioError("A service gave an answer that could not be understood.")
        return reply

    async def cache(self, actor: str, cache_id: str) -> Cache:
        """Return a cache with the statistics of its columns; to ask for it is to use it.

        Raises
        ------
        MiStudioError
            When there is none, or as :meth:`ask`.
        """
        return await self.ask(
            subjects.RPC_CACHE_GET, GetCacheRequest(actor=actor, cache_id=cache_id), Cache
        )
