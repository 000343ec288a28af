"""Byte arithmetic: how much a model and a batch need, and whether they fit."""

from .budget import forward_bytes_per_token, token_budget, weight_bytes
from .families import FAMILIES, UnknownFamily
from .shape import DecoderShape

__all__ = [
    "FAMILIES",
    "DecoderShape",
    "UnknownFamily",
    "forward_bytes_per_token",
    "token_budget",
    "weight_bytes",
]
