"""A format that does not run is told apart from those that do, and takes nothing along."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable
from typing import Any

import bitsandbytes.functional as bnb
import pytest
import torch

from mistudio_capture.kernels import RECIPES, check, product_error


def test_the_formats_run_here() -> None:
    assert check() == {"int8": None, "int4": None}


@pytest.mark.parametrize("name", RECIPES)
def test_the_tolerance_is_near_what_the_code_books_lose(name: str) -> None:
    for recipe, tolerance in RECIPES[name]:
        assert tolerance / 4 < product_error(recipe, "cpu") < tolerance


def raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no kernel image is available\nfor execution on the device")


def aborts(*_: Any, **__: Any) -> Any:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGABRT)


def hangs(*_: Any, **__: Any) -> Any:
    signal.pause()


def zeroes(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(*arguments: Any, **options: Any) -> Any:
        return torch.zeros_like(function(*arguments, **options))

    return wrong


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (raises, "RuntimeError: no kernel image is available"),
        (aborts, "its check ended the process: SIGABRT"),
        (hangs, "its check did not end within 5 s"),
        (zeroes(bnb.dequantize_4bit), "nf4 computes wrongly: relative error 1"),
    ],
    ids=["raises", "aborts", "hangs", "computes wrongly"],
)
def test_a_broken_kernel_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[..., Any], reason: str
) -> None:
    monkeypatch.setattr(bnb, "dequantize_4bit", broken)
    assert check(seconds=5) == {"int8": None, "int4": reason}
