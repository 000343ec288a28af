"""Bytes of weights in each format, checked against published figures and by hand."""

from __future__ import annotations

import pytest

from mistudio_footprint import DecoderShape, Format, checkpoint_dtype, disk_bytes
from mistudio_footprint.formats import block_bytes, decoder_bytes, model_bytes
from mistudio_footprint.layout import Layout, Matrix

from .published import PUBLISHED

GIB = 1 << 30


def shape(name: str) -> DecoderShape:
    return DecoderShape.from_config(PUBLISHED[name])


def one(matrix: Matrix) -> Layout:
    return Layout(1, (matrix,), 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "quantization", "expected"),
    [("llama-2-13b", "int4", 6.71), ("llama-2-7b", "int8", 6.52), ("llama-2-7b", "fp16", 12.55)],
)
def test_weights_of_llama_2_are_as_large_as_published(
    name: str, quantization: str, expected: float
) -> None:
    found = model_bytes(shape(name).layout, Format(quantization, "float16")) / GIB
    assert found == pytest.approx(expected, abs=0.006)


def test_neither_13b_at_int4_nor_7b_at_int8_fits_6_gib() -> None:
    for name, quantization in (("llama-2-13b", "int4"), ("llama-2-7b", "int8")):
        assert decoder_bytes(shape(name).layout, Format(quantization, "float16")).total > 6 * GIB


def test_int8_is_a_byte_a_weight_and_a_scale_a_row() -> None:
    found = block_bytes(one(Matrix(10, 64)), Format("int8"))
    assert (found.weights, found.state) == (640, 40)


@pytest.mark.parametrize(
    ("double_quant", "state"),
    [
        # 300 blocks of 64: as many float32 scales, or bytes and two float32 scales of theirs.
        (False, 4 * 300 + 4 * 16),
        (True, 300 + 4 * 2 + 4 * 256 + 4 * 16 + 4),
    ],
)
def test_int4_is_half_a_byte_a_weight_and_a_scale_a_block(double_quant: bool, state: int) -> None:
    found = block_bytes(one(Matrix(300, 64)), Format("int4", double_quant=double_quant))
    assert (found.weights, found.state) == (300 * 32, state)


def test_a_block_that_is_not_full_counts_as_full() -> None:
    found = block_bytes(one(Matrix(3, 40)), Format("int4", double_quant=False))
    assert (found.weights, found.state) == (2 * 32, 4 * 2 + 4 * 16)


def test_what_is_not_in_a_linear_layer_keeps_the_checkpoints_dtype() -> None:
    layout = Layout(2, (Matrix(64, 64, True),), 0, 100, 1000, 7, 50)
    as_float32 = decoder_bytes(layout, Format("int8", "float32"))
    as_bfloat16 = decoder_bytes(layout, Format("int8", "bfloat16"))
    assert as_float32.weights - as_bfloat16.weights == 2 * (2 * 100 + 1000)
    assert as_float32.weights == 2 * (64 * 64 + 400) + 4000 + 50


@pytest.mark.parametrize("quantization", ["none", "int4"])
def test_the_head_is_on_disk_and_never_on_the_device(quantization: str) -> None:
    untied = {**PUBLISHED["gpt2"], "tie_word_embeddings": False}
    tied, loose = shape("gpt2").layout, DecoderShape.from_config(untied).layout
    how = Format(quantization)
    assert decoder_bytes(tied, how) == decoder_bytes(loose, how)
    assert disk_bytes(loose, how) - disk_bytes(tied, how) == 4 * 768 * 50257


def test_none_keeps_what_the_checkpoint_has() -> None:
    layout = shape("gpt2").layout
    assert decoder_bytes(layout, Format("none", "bfloat16")) == decoder_bytes(
        layout, Format("fp16", "float32")
    )


def test_masks_that_gpt_neo_computes_for_itself_count() -> None:
    layout = shape("gpt-neo-125m").layout
    assert layout.computed_bytes == 12 * 2048 * 2048


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "bfloat16", "torch_dtype": "float32"}, "bfloat16"),
        ({"torch_dtype": "torch.float16"}, "float16"),
        ({"dtype": "float8"}, "float32"),
        ({}, "float32"),
    ],
)
def test_the_dtype_is_read_under_both_names(config: dict[str, str], dtype: str) -> None:
    assert checkpoint_dtype(config) == dtype
