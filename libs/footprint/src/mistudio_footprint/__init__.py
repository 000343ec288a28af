"""Byte arithmetic: how much a model and a batch need, and whether they fit."""

from .budget import forward_bytes_per_token, token_budget, weight_bytes
from .shape import DecoderShape

__all__ = ["DecoderShape", "forward_bytes_per_token", "token_budget", "weight_bytes"]
