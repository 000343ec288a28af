"""Which parameters a decoder has: exact counts, told apart by what quantising does to them."""

from __future__ import annotations

from dataclasses import dataclass

from .families import Fields


@dataclass(frozen=True)
class Matrix:
    """The weight of a linear layer, ``[rows, columns]``: outputs, inputs."""

    rows: int
    columns: int
    bias: bool = False

    @property
    def elements(self) -> int:
        return self.rows * self.columns


@dataclass(frozen=True)
class Layout:
    """Elements of a decoder's parameters.

    Attributes
    ----------
    layers
        Number of blocks.
    matrices
        Linear layers of a block: what int8 and int4 quantise.
    experts
        Elements of a block's fused experts, which nothing quantises.
    vectors
        Elements of a block's norms and biases, and of its router.
    outside
        Elements of embeddings, learned positions, projections and norms outside the blocks.
    head
        Elements of the language-model head, which is never on the device; 0 where it is tied to
        the embedding, and then on no disk either.
    computed_bytes
        Bytes of the buffers that the module computes for itself, whatever the format: rotary
        frequencies, GPT-Neo's causal masks, GPT-J's sines.
    """

    layers: int
    matrices: tuple[Matrix, ...]
    experts: int
    vectors: int
    outside: int
    head: int
    computed_bytes: int

    @property
    def block(self) -> int:
        """Elements of one block."""
        return sum(m.elements for m in self.matrices) + self.experts + self.vectors

    @property
    def decoder(self) -> int:
        """Elements of everything but the language-model head."""
        return self.layers * self.block + self.outside

    @property
    def model(self) -> int:
        """Elements of the whole causal language model, tied ones once."""
        return self.decoder + self.head


@dataclass(frozen=True)
class Widths:
    """A block's widths in elements."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int

    @classmethod
    def of(cls, fields: Fields) -> Widths:
        """Read them; raises KeyError or ValueError as :meth:`Fields.number`."""
        hidden = fields.number("hidden_size")
        heads = fields.number("num_attention_heads")
        return cls(
            hidden,
            heads,
            _kv_heads(fields, heads),
            fields.number("head_dim", max(1, hidden // heads)),
            _intermediate(fields, hidden),
        )

    @property
    def query(self) -> int:
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        return self.kv_heads * self.head_dim


def _kv_heads(fields: Fields, heads: int) -> int:
    if fields.model_type != "falcon":
        return min(heads, fields.number("num_key_value_heads", heads))
    if fields.flag("new_decoder_architecture"):
        return fields.number("num_kv_heads", heads)
    return 1 if fields.flag("multi_query") else heads


def _intermediate(fields: Fields, hidden: int) -> int:
    if fields.model_type == "falcon":
        return fields.number("ffn_hidden_size", 4 * hidden)
    if fields.family.gated:
        return fields.number("intermediate_size")
    # BLOOM's code has no name for it: its MLP is four times as wide, whatever a config says.
    return (
        4 * hidden
        if fields.model_type == "bloom"
        else fields.number("intermediate_size", 4 * hidden)
    )


def layout(fields: Fields) -> Layout:
    """Return what a decoder consists of.

    Raises
    ------
    KeyError
        Naming the first field that the config lacks.
    ValueError
        Naming a field that is no positive number.
    """
    widths, layers = Widths.of(fields), fields.number("num_hidden_layers")
    matrices = (*_attention(fields, widths), *_mlp(fields, widths))
    biases = sum(m.rows for m in matrices if m.bias)
    norms = _norms(fields) * _norm(fields, widths.hidden) + _qk_norms(fields, widths)
    experts, router = _experts(fields, widths)
    return Layout(
        layers=layers,
        matrices=matrices,
        experts=experts,
        vectors=biases + norms + router,
        outside=_outside(fields, widths),
        head=_head(fields, widths),
        computed_bytes=_computed(fields, widths, layers),
    )


def _attention(fields: Fields, w: Widths) -> tuple[Matrix, ...]:
    family = fields.family
    qkv, out = fields.flag(family.qkv_bias), fields.flag(family.out_bias)
    last = Matrix(w.hidden, w.query, out)
    if family.fused_qkv:
        return Matrix(w.query + 2 * w.key, w.hidden, qkv), last
    key = Matrix(w.key, w.hidden, qkv)
    return Matrix(w.query, w.hidden, qkv), key, key, last


def _mlp(fields: Fields, w: Widths) -> tuple[Matrix, ...]:
    family, bias = fields.family, fields.flag(fields.family.mlp_bias)
    if family.experts:
        return ()
    down = Matrix(w.hidden, w.intermediate, bias)
    if family.fused_gate:
        return Matrix(2 * w.intermediate, w.hidden, bias), down
    up = Matrix(w.intermediate, w.hidden, bias)
    return (up, up, down) if family.gated else (up, down)


def _experts(fields: Fields, w: Widths) -> tuple[int, int]:
    if not fields.family.experts:
        return 0, 0
    experts = fields.number("num_local_experts")
    return experts * 3 * w.hidden * w.intermediate, experts * w.hidden


def _norm(fields: Fields, width: int) -> int:
    if fields.get("layer_norm_elementwise_affine") is False:
        return 0
    return (2 if fields.family.norm_bias else 1) * width


def _norms(fields: Fields) -> int:
    if fields.model_type != "falcon":
        return fields.family.norms
    if not fields.flag("parallel_attn"):
        return 2
    newer = fields.flag("new_decoder_architecture")
    return 2 if fields.number("num_ln_in_parallel_attn", 2 if newer else 1) == 2 else 1


def _qk_norms(fields: Fields, w: Widths) -> int:
    kind = fields.family.qk_norm
    if kind == "phi":
        return 4 * w.head_dim if fields.flag("qk_layernorm") else 0
    return {"": 0, "head": 2 * w.head_dim, "width": w.query + w.key}[kind]


def _embedding(fields: Fields, w: Widths) -> int:
    return fields.number("word_embed_proj_dim", w.hidden)


def _outside(fields: Fields, w: Widths) -> int:
    family, width = fields.family, _embedding(fields, w)
    elements = fields.number("vocab_size") * width
    if family.positions is not None:
        elements += (fields.number("max_position_embeddings") + family.positions) * w.hidden
    if width != w.hidden:
        elements += 2 * width * w.hidden
    if family.embedding_norm:
        elements += _norm(fields, w.hidden)
    return elements + (_norm(fields, w.hidden) if _ends_in_norm(fields) else 0)


def _ends_in_norm(fields: Fields) -> bool:
    if fields.model_type != "opt":
        return True
    return fields.get("do_layer_norm_before") is not False and not fields.flag(
        "_remove_final_layer_norm"
    )


def _head(fields: Fields, w: Widths) -> int:
    if fields.flag("tie_word_embeddings"):
        # A bias of the head is of its own, tied or not.
        return fields.number("vocab_size") if fields.family.head_bias else 0
    vocab = fields.number("vocab_size")
    return vocab * _embedding(fields, w) + (vocab if fields.family.head_bias else 0)


def _computed(fields: Fields, w: Widths, layers: int) -> int:
    rotary = fields.family.rotaries * 2 * 4 * w.head_dim
    if fields.model_type == "gpt_neo":
        return layers * fields.number("max_position_embeddings") ** 2
    if fields.model_type == "gptj":
        dim = fields.number("rotary_dim", w.head_dim)
        return layers * fields.number("max_position_embeddings") * dim * 4
    return rotary
