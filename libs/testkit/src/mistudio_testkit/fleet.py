"""Extractors beside a stack, joined to it by environment alone, as those of other machines are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mistudio_client.embedded import EmbeddedStack

from .nursery import Nursery


class Fleet(Nursery):
    """Starts and ends extractors by name; a name keeps its device id, ``dev_<name>``.

    Parameters
    ----------
    stack
        Whose bus and directories they share.
    home
        For their logs.
    disk
        Bytes of a file system of their own for the stores; None for the stack's directory.
    env
        Over this process's environment.
    """

    def __init__(
        self,
        stack: EmbeddedStack,
        home: Path,
        *,
        disk: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        joined = {**os.environ, **joining(stack), **(env or {})}
        disks = {} if disk is None else {Path(joined["ACTIVATION_CACHE_DIR"]): disk}
        super().__init__(["extractor"], home, joined, disks)
        self.stack = stack

    def start(self, name: str, network: Path | None = None) -> None:
        """Start an extractor, in the network namespace of a file where one is given."""
        self.begin("extractor", name, network=network)


def joining(stack: EmbeddedStack) -> dict[str, str]:
    """Return the environment by which an extractor of any machine joins a stack."""
    layout = stack.layout
    return {
        "NATS_URL": stack.nats_url,
        "MODEL_CACHE_DIR": str(layout.models),
        "DATASET_CACHE_DIR": str(layout.datasets),
        "ACTIVATION_CACHE_DIR": str(layout.activations),
    }
