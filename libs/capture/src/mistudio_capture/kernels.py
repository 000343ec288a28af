"""Whether the quantised formats run here: a real quantise-and-multiply of each.

``python -m mistudio_capture.kernels [cpu|cuda]`` prints, as JSON, each format with null, or with
the reason why it does not run; without an argument, on CUDA where there is one.

A build of bitsandbytes may import and then raise, abort, hang or multiply wrongly at its first
kernel; so each format is tried in a process of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from .linear import Int4Linear, Int8Linear, Parts, parts_of
from .quantize import Recipe, parts, quantize

SECONDS = 60.0
"""How long a format may take."""

ROWS, INNER, OUTER = 16, 256, 128

RECIPES: dict[str, tuple[tuple[Recipe, float], ...]] = {
    "int8": ((Recipe(8), 0.02),),
    "int4": ((Recipe(4, "nf4"), 0.15), (Recipe(4, "fp4"), 0.2)),
}
"""By format: what is tried, and the largest relative error of a product of normal weights.

About twice what the code books lose: 0.008, 0.09 and 0.12 were measured.
"""


def check(device: str = "cpu", seconds: float = SECONDS) -> dict[str, str | None]:
    """Return each format with null, or with the reason why it does not run.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``. CUDA must not have been used in this process yet.
    seconds
        How long each may take.
    """
    return {name: _reason(name, device, seconds) for name in RECIPES}


def product_error(recipe: Recipe, device: str) -> float:
    """Return the relative error, as a Frobenius norm, of a product with quantised weights.

    Raises
    ------
    Exception
        Whatever a kernel raises.
    """
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(OUTER, INNER, generator=random) / INNER**0.5
    inputs = torch.randn(ROWS, INNER, generator=random)
    layer = Int8Linear if recipe.bits == 8 else Int4Linear
    linear = layer(INNER, OUTER, bias=False)
    linear.fill(_quantized(recipe, weights.to(device)))
    with torch.no_grad():
        product = linear(inputs.to(device)).cpu()
    expected = inputs @ weights.T
    return float((product - expected).norm() / expected.norm())


def _quantized(recipe: Recipe, weights: torch.Tensor) -> Parts:
    shape = OUTER, INNER
    whole = {
        f"w{each.suffix}": torch.empty(each.shape, dtype=each.dtype)
        for each in parts(recipe, shape)
    }
    for suffix, start, values in quantize(recipe, [weights], shape, torch.float32):
        whole[f"w{suffix}"].view(-1)[start : start + values.numel()] = values.view(-1)
    return {part: whole[name].to(weights.device) for part, name in parts_of(whole, "w").items()}


def _reason(name: str, device: str, seconds: float) -> str | None:
    try:
        answer: str | None = _behind_a_fork(lambda: _told(name, device), seconds)
    except TimeoutError:
        return f"its check did not end within {seconds:g} s"
    except ChildProcessError as error:
        return f"its check ended the process: {error}"
    return answer


def _behind_a_fork(work: Callable[[], Any], seconds: float) -> Any:
    # A fork costs no second import of torch, and CUDA, once begun, would bear none.
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(work, theirs))
    child.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise TimeoutError
        return ours.recv()
    except EOFError:
        child.join()
        raise ChildProcessError(_ending(child.exitcode)) from None
    finally:
        child.kill()
        child.join()


def _answer(work: Callable[[], Any], answer: Connection) -> None:
    # What a library prints must not get between the lines of the answer.
    os.dup2(2, 1)
    # The pool of threads of the parent is not there behind a fork.
    torch.set_num_threads(1)
    answer.send(work())


def _told(name: str, device: str) -> str | None:
    try:
        return _fault(name, device)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the reason
        told = str(error).strip().splitlines()
        return f"{type(error).__name__}: {told[0]}" if told else type(error).__name__


def _fault(name: str, device: str) -> str | None:
    for recipe, tolerance in RECIPES[name]:
        error = product_error(recipe, device)
        if not error <= tolerance:
            kind = recipe.int4_type if recipe.bits == 4 else name
            return f"{kind} computes wrongly: relative error {error:.3g}"
    return None


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"


def main() -> None:
    """Check and print."""
    # Ended by its parent, it takes the process of the format with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    device = sys.argv[1] if len(sys.argv) > 1 else _default_device()
    if device not in ("cpu", "cuda"):
        raise SystemExit(f"there is no device {device!r}; name cpu or cuda")
    sys.stdout.write(json.dumps(check(device)) + "\n")


def _default_device() -> str:
    return "cuda" if _behind_a_fork(torch.cuda.is_available, SECONDS) else "cpu"


if __name__ == "__main__":
    main()
