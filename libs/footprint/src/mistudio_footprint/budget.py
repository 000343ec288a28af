"""How many bytes a batch takes on the device, and how many tokens one batch takes."""

from __future__ import annotations

from .shape import DecoderShape

CPU_TOKENS = 1024
"""Where a 2-core CPU is quickest: matrices wide enough to be efficient, activations in cache."""

DEVICE_TOKENS = 16_384
"""More tokens a batch no longer speed up a GPU's matrix products; fewer leave room for models."""

LEAST_TOKENS = 64

FLOAT32 = 4


def weight_bytes(shape: DecoderShape, bytes_per_parameter: float) -> int:
    """Return the bytes of the decoder's parameters, without a language-model head."""
    return int(shape.layout.decoder * bytes_per_parameter)


def forward_bytes_per_token(
    shape: DecoderShape, captured: int, compute_bytes: int, store_bytes: int
) -> int:
    """Return the peak bytes that one token of a batch needs on the device.

    One block is alive at a time, see :func:`alive_elements`; captured columns wait in the store's
    dtype, twice, since one buffer is copied while the next is filled. What attention without a
    fused kernel needs grows with the length of a sample: see :func:`score_bytes`.

    Parameters
    ----------
    shape
        Of the decoder.
    captured
        Elements of a token's captured rows together: the sum of the columns' widths.
    compute_bytes, store_bytes
        Bytes of an element of the forward pass and of the store.
    """
    alive = alive_elements(shape, compute_bytes) * compute_bytes
    return alive + 2 * captured * store_bytes


def alive_elements(shape: DecoderShape, compute_bytes: int) -> int:
    """Return the elements of activations that a token has alive at a block's widest moment.

    Read off the modules of transformers 5. The decoder holds the embeddings, the block its
    residual stream, and the part that runs its normed input. Attention then holds queries, keys
    and values, and of the queries three more while rotary positions turn them, or attention's
    output and its copy by token. The MLP holds two rows of the inner width, with a gate three,
    and four where its activation is written out in single operations, which only float32 fuses;
    with experts a token is there once for each that it chooses, in four rows and its own two.
    A norm holds its input and two copies in float32.
    """
    written_out = shape.activation in _WRITTEN_OUT and (
        compute_bytes != FLOAT32 or shape.model_type == "bloom"
    )
    inner = 3 if shape.gated else 2
    mlp = max(inner, 4 if written_out else 0) * shape.intermediate + shape.hidden
    if shape.choices:
        mlp = shape.choices * (4 * shape.intermediate + 2 * shape.hidden) + shape.hidden
    norm = 3 * shape.hidden * FLOAT32 // compute_bytes
    return max(attention_elements(shape), 3 * shape.hidden + max(mlp, norm))


def attention_elements(shape: DecoderShape) -> int:
    """Return the elements that a token has alive while a block attends, scores left out."""
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return 3 * shape.hidden + 4 * query + 2 * key


_WRITTEN_OUT = frozenset({"gelu_new", "gelu_fast"})
"""Activations that transformers computes operation by operation."""


_UNFUSED = 8
"""Bytes a pair of PyTorch's attention without a kernel: scores in float32, before and after."""


def score_bytes(
    shape: DecoderShape, samples: int, length: int, compute_bytes: int, kind: str
) -> int:
    """Return the bytes of a batch's attention scores and masks, ``samples`` of ``length`` tokens.

    Families that are packed attend sample by sample; those that are padded all at once. Scores
    are whole only where no fused kernel runs: with a soft cap (Gemma 2), in a family's own code
    (BLOOM, GPT-Neo, GPT-J), where keys are shared by heads and no kernel of PyTorch's shares them
    (Falcon with a single key head, and on a GPU grouped keys in float32).

    Parameters
    ----------
    shape
        Of the decoder.
    samples, length
        Of the batch; tokens.
    compute_bytes
        Bytes of an element of the forward pass.
    kind
        ``cpu``, ``cuda`` or ``tegra``.
    """
    pairs = length * length
    a_pair = shape.family.scores[0 if compute_bytes == FLOAT32 else 1]
    shared = shape.kv_heads < shape.heads
    if not a_pair and shared:
        unfused = shape.family.padded or (kind != "cpu" and compute_bytes == FLOAT32)
        a_pair = _UNFUSED if unfused else 0
    scores = shape.heads * pairs * a_pair
    if shape.family.padded:
        alibi = shape.heads * compute_bytes if shape.alibi else 0
        return samples * (scores + pairs * (2 * compute_bytes + alibi + 1))
    windowed = shape.window is not None and length > shape.window
    # Distances as int64 and the comparisons of them, while the mask of a window is made.
    return scores + (pairs * 12 if windowed or a_pair else 0)


def token_budget(
    shape: DecoderShape,
    free_bytes: int,
    device_kind: str,
    *,
    captured: int | None = None,
    compute_bytes: int = 4,
    store_bytes: int = 4,
) -> int:
    """Return how many tokens one batch takes: the line that decides a batch's size.

    The same arguments give the same number, so that a shard done again is cut into the same
    batches. A longer sample is still one batch.

    Parameters
    ----------
    shape
        Of the decoder.
    free_bytes
        What a batch may use of the device.
    device_kind
        ``cpu``, ``cuda`` or ``tegra``.
    captured, compute_bytes, store_bytes
        As for :func:`forward_bytes_per_token`; None for one column of the residual stream.
    """
    fastest = CPU_TOKENS if device_kind == "cpu" else DEVICE_TOKENS
    elements = shape.hidden if captured is None else captured
    fitting = free_bytes // forward_bytes_per_token(shape, elements, compute_bytes, store_bytes)
    return max(LEAST_TOKENS, min(fastest, fitting))
