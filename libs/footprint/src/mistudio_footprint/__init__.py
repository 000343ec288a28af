"""Byte arithmetic: how much a model and a batch need, and whether they fit."""

from .budget import forward_bytes_per_token, token_budget, weight_bytes
from .families import FAMILIES, UnknownFamily
from .formats import FORMATS, Format, checkpoint_dtype, unavailable
from .parts import Batch, Parts, parts
from .shape import DecoderShape

__all__ = [
    "FAMILIES",
    "FORMATS",
    "Batch",
    "DecoderShape",
    "Format",
    "Parts",
    "UnknownFamily",
    "checkpoint_dtype",
    "forward_bytes_per_token",
    "parts",
    "token_budget",
    "unavailable",
    "weight_bytes",
]
