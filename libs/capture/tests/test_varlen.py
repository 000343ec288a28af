"""One kernel for a whole pack is used where it computes what sample by sample gives, only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen as torch_varlen

from mistudio_capture import attention
from mistudio_capture.varlen import Pack, Scores, Varlen

HEADS, KV_HEADS, WIDTH = 4, 2, 16
Kernel = Callable[..., torch.Tensor]


def rows(heads: int, tokens: int = 20, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(1, heads, tokens, WIDTH, dtype=dtype)


class CudaLike(torch.Tensor):
    """A tensor on the host that says it is on a GPU: there is none where these tests run."""

    @property
    def device(self) -> Any:  # type: ignore[override]
        return torch.device("cuda:0")


def as_cuda(tensor: torch.Tensor) -> CudaLike:
    return tensor.as_subclass(CudaLike)


def one_by_one_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    *_: Any,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    num_splits: int | None = None,
) -> torch.Tensor:
    """``varlen_attn``'s signature and meaning on a CPU, by a mask for each sample."""
    assert num_splits == 1
    found = []
    for start, end in zip(starts.tolist(), starts.tolist()[1:], strict=False):
        q, k, v = (x[start:end].transpose(0, 1)[None] for x in (query, key, value))
        distance = torch.arange(end - start)[:, None] - torch.arange(end - start)[None]
        seen = distance >= 0
        if window_size[0] >= 0:
            seen &= distance <= window_size[0]
        attended = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, scale=scale, enable_gqa=enable_gqa
        )
        found.append(attended[0].transpose(0, 1))
    return torch.cat(found)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel], None]:
    def use(function: Kernel) -> None:
        monkeypatch.setattr(torch_varlen, "varlen_attn", function)

    return use


@pytest.mark.parametrize("window", [None, 1, 5, 100])
@pytest.mark.parametrize("kv_heads", [HEADS, KV_HEADS])
def test_a_kernel_is_called_so_that_it_gives_what_sample_by_sample_gives(
    kernel: Callable[[Kernel], None], window: int | None, kv_heads: int
) -> None:
    """Above all the bounds of the window, which torch counts otherwise than transformers."""
    kernel(one_by_one_kernel)
    query, key, value = rows(HEADS), rows(kv_heads), rows(kv_heads)
    pack, scores = Pack([0, 1, 13, 20]), Scores(0.3, window)
    found = Varlen(attention._one_by_one).attend(pack, query, key, value, scores)
    expected = attention._one_by_one(pack, query, key, value, scores)
    assert found.shape == (1, 20, HEADS, WIDTH)
    assert torch.allclose(found, expected, atol=2e-2)


@pytest.mark.parametrize(
    ("query", "scores"),
    [
        (rows(HEADS), Scores()),
        (as_cuda(rows(HEADS, dtype=torch.float32)), Scores()),
        (as_cuda(rows(HEADS)), Scores(softcap=30.0)),
    ],
    ids=["on a CPU", "in float32", "with a soft cap"],
)
def test_what_the_kernel_does_not_know_runs_sample_by_sample(
    query: torch.Tensor, scores: Scores
) -> None:
    assert not Varlen(attention._one_by_one).computes(query, rows(HEADS), scores)


class TestTrial:
    @pytest.fixture
    def tried(self, monkeypatch: pytest.MonkeyPatch) -> Varlen:
        """One that believes the host to be a GPU."""
        found = Varlen(attention._one_by_one)
        real = found._try

        def on_the_host(query: torch.Tensor, key: torch.Tensor, scores: Scores) -> bool:
            plain = (each.as_subclass(torch.Tensor) for each in (query, key))
            return real(*plain, scores)

        monkeypatch.setattr(found, "_try", on_the_host)
        return found

    def test_one_that_agrees_is_used(self, tried: Varlen, kernel: Callable[[Kernel], None]) -> None:
        kernel(one_by_one_kernel)
        assert tried.computes(as_cuda(rows(HEADS)), as_cuda(rows(KV_HEADS)), Scores())

    def test_one_that_computes_otherwise_is_not(
        self, tried: Varlen, kernel: Callable[[Kernel], None]
    ) -> None:
        def forgetful(*arguments: Any, window_size: Any, **rest: Any) -> torch.Tensor:
            return one_by_one_kernel(*arguments, window_size=(0, 0), **rest)

        def with_names(
            *arguments: Any, window_size: Any, num_splits: int, enable_gqa: bool, scale: Any
        ) -> torch.Tensor:
            return forgetful(
                *arguments,
                window_size=window_size,
                num_splits=num_splits,
                enable_gqa=enable_gqa,
                scale=scale,
            )

        kernel(with_names)
        assert not tried.computes(as_cuda(rows(HEADS)), as_cuda(rows(KV_HEADS)), Scores())

    def test_one_that_the_device_cannot_run_is_not_and_is_tried_once(
        self, tried: Varlen, kernel: Callable[[Kernel], None]
    ) -> None:
        calls = []

        def broken(
            *_: Any, window_size: Any, num_splits: int, enable_gqa: bool, scale: Any
        ) -> torch.Tensor:
            calls.append(1)
            raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")

        kernel(broken)
        for _ in range(2):
            assert not tried.computes(as_cuda(rows(HEADS)), as_cuda(rows(KV_HEADS)), Scores())
        assert len(calls) == 1
