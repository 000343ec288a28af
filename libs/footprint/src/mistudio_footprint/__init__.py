"""Byte arithmetic: how much a model and a batch need, and whether they fit."""

from .budget import forward_bytes_per_token, token_budget, weight_bytes
from .families import FAMILIES, UnknownFamily
from .fitting import DEFAULT_BUDGET_BYTES, Resident, Room, Verdict, decide
from .formats import FORMATS, Format, block_bytes, checkpoint_dtype, disk_bytes, unavailable
from .parts import Batch, Parts, parts
from .planning import Offload, Plan, blocks_away, plan, preference, recommend
from .shape import DecoderShape

__all__ = [
    "DEFAULT_BUDGET_BYTES",
    "FAMILIES",
    "FORMATS",
    "Batch",
    "DecoderShape",
    "Format",
    "Offload",
    "Parts",
    "Plan",
    "Resident",
    "Room",
    "UnknownFamily",
    "Verdict",
    "block_bytes",
    "blocks_away",
    "checkpoint_dtype",
    "decide",
    "disk_bytes",
    "forward_bytes_per_token",
    "parts",
    "plan",
    "preference",
    "recommend",
    "token_budget",
    "unavailable",
    "weight_bytes",
]
