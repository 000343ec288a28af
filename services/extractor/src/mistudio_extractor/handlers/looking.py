"""Questions about what is stored, and about a dataset's tokens: figures for pictures."""

from __future__ import annotations

import asyncio

from mistudio_contracts.looking import (
    CountTokensRequest,
    HeatMap,
    HeatMapRequest,
    Norms,
    NormsRequest,
    TokenLengths,
    TopTokens,
    TopTokensRequest,
)
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.lengths import Lengths
from mistudio_extractor.services.looking import Looking


class LookingHandlers:
    """Handlers of ``rpc.store.*`` about rows, and of ``rpc.extractor.*.dataset.count``."""

    def __init__(self, device: Device, looking: Looking, lengths: Lengths) -> None:
        self._device, self._looking, self._lengths = device, looking, lengths
        # One at a time: side by side they would take the disk and the processors from captures.
        self._busy = asyncio.Lock()

    async def norms(self, request: NormsRequest) -> Norms:
        """Tell mean norms by hook point and position."""
        async with self._busy:
            return await asyncio.to_thread(self._looking.norms, request)

    async def heat_map(self, request: HeatMapRequest) -> HeatMap:
        """Tell a number for each token of some samples."""
        await self._transformers()
        async with self._busy:
            return await asyncio.to_thread(self._looking.heat_map, request)

    async def top_tokens(self, request: TopTokensRequest) -> TopTokens:
        """Find the tokens where a number is largest, or least."""
        await self._transformers()
        async with self._busy:
            return await asyncio.to_thread(self._looking.top_tokens, request)

    async def count_tokens(self, request: CountTokensRequest) -> TokenLengths:
        """Count the tokens of a dataset's rows."""
        await self._transformers()
        async with self._busy:
            return await asyncio.to_thread(self._lengths.count, request)

    async def _transformers(self) -> None:
        # Its import, for a tokenizer, must not meet the device's half-way.
        await self._device.facts()
