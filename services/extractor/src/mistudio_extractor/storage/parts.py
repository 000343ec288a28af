"""A store opened some shards at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mistudio_activations import ActivationStore, Manifest, Place


class Parts:
    """The first samples of some columns, as a cache shows them.

    A store of a billion tokens has thousands of shards, and to open it whole is to read the offsets
    of each. What lies in which shard, the manifest says alone.

    Parameters
    ----------
    place, manifest
        Of the store.
    columns
        Names; the manifest has them.
    samples
        Visible ones, fewer where a column covers fewer.

    Attributes
    ----------
    samples
        How many there are.
    shards
        How many shards hold them.
    readers
        How many reads side by side are faster than one after another.
    """

    def __init__(
        self, place: Place, manifest: Manifest, columns: Sequence[str], samples: int
    ) -> None:
        self._place, self._manifest = place, manifest
        self.readers = place.readers
        covered = [manifest.columns[name].samples for name in columns]
        self.samples = min(samples, manifest.samples, *covered)
        self._samples = np.cumsum([0, *(shard.samples for shard in manifest.tokens)])
        self._rows = np.cumsum([0, *(shard.tokens for shard in manifest.tokens)])
        self.shards = int(np.searchsorted(self._samples, self.samples))

    @property
    def tokens(self) -> int:
        """Tokens of the samples. Reads the offsets of the last shard where samples end in it."""
        if self.samples == self._samples[self.shards]:
            return self.first_row(self.shards)
        last = self.shards - 1
        return self.first_row(last) + self.part(last, self.shards).tokens

    def part(self, first: int, last: int) -> ActivationStore:
        """Return the visible samples of shards ``first`` to ``last``, counted from 0."""
        visible = self.samples - self.first_sample(first)
        return ActivationStore(self._place, self._manifest.part(first, last), visible)

    def first_sample(self, shard: int) -> int:
        """Return how many samples lie before a shard."""
        return int(self._samples[shard])

    def first_row(self, shard: int) -> int:
        """Return how many tokens lie before a shard."""
        return int(self._rows[shard])

    def shard_of_sample(self, sample: int) -> int:
        """Return the shard that holds a sample."""
        return int(np.searchsorted(self._samples, sample, "right")) - 1

    def shard_of_row(self, row: int) -> int:
        """Return the shard that holds a token."""
        return int(np.searchsorted(self._rows, row, "right")) - 1
