"""Modules whose weights come from the disk at each use and leave again: what does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .loading import Plan


def stream(plan: Plan, device: torch.device, modules: Iterable[str]) -> None:
    """Fill each of the modules just before it runs, and empty it just after.

    At most one of them holds weights at a time, so a decoder of any size runs in the memory of
    its largest module.

    Parameters
    ----------
    plan
        Of the decoder; the modules are named in :meth:`Plan.modules`.
    device
        Where they run.
    modules
        Which ones.
    """
    for name in modules:
        module = plan.decoder.get_submodule(name)
        module.register_forward_pre_hook(_filling(plan, device, name), prepend=True)
        module.register_forward_hook(_emptying(plan, name), always_call=True)


def _filling(plan: Plan, device: torch.device, name: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any) -> None:
        plan.fill(device, [name])

    return hook


def _emptying(plan: Plan, name: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        plan.empty([name])

    return hook
