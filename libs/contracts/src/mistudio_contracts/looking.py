"""Looking into what is stored: a few numbers for a picture, never the rows themselves."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from .base import Fingerprint, Identifier, Value
from .hooks import HookPoint
from .rpc import Request
from .values import Artifact, DatasetRef, Tokenization

MOST_SAMPLES = 16
"""Samples of one heat map."""

MOST_SHOWN = 1024
"""Tokens of a sample that a heat map shows."""

MOST_TOKENS = 200
"""Of one list of top tokens."""

MOST_WIDTH = 65_536
"""Of rows that can be asked about by a component or a direction."""

Component = Annotated[float, Field(allow_inf_nan=False)]


class Measure(str, Enum):
    """What a token's row is turned into: one number."""

    NORM = "norm"
    NEURON = "neuron"
    DIRECTION = "direction"

    def __str__(self) -> str:
        return self.value


class Along(Value):
    """What to measure of a row: its L2 norm, one of its components, or its product with a vector.

    ``direction`` is normalised to length 1 first; with neither it is the norm.
    """

    neuron: int | None = Field(
        default=None, ge=0, lt=MOST_WIDTH, description="The component of the row with this index."
    )
    direction: list[Component] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_WIDTH,
        description="As wide as the rows, and not all zeros.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.neuron is not None and self.direction is not None:
            raise ValueError("name a neuron or a direction, not both")
        if self.direction is not None and not any(self.direction):
            raise ValueError("a direction of zeros points nowhere")
        return self

    @property
    def measure(self) -> Measure:
        """What this asks for."""
        if self.neuron is not None:
            return Measure.NEURON
        return Measure.NORM if self.direction is None else Measure.DIRECTION


class NormsRequest(Request):
    """Mean norms by hook point and position, over the first samples of a cache."""

    store_key: Fingerprint
    hook_points: list[HookPoint] = Field(min_length=1)
    sample_count: int = Field(ge=0, description="Of the cache; the store may hold more.")


class HeatMapRequest(Request):
    """A number for each token of some samples of one column."""

    store_key: Fingerprint
    hook_point: HookPoint
    along: Along = Along()
    sample_count: int = Field(ge=0, description="Of the cache; the store may hold more.")
    first_sample: int = Field(default=0, ge=0)
    samples: int = Field(default=8, ge=1, le=MOST_SAMPLES)


class TopTokensRequest(Request):
    """The tokens of one column where a number is largest, or least."""

    store_key: Fingerprint
    hook_point: HookPoint
    along: Along = Along()
    sample_count: int = Field(ge=0, description="Of the cache; the store may hold more.")
    count: int = Field(default=20, ge=1, le=MOST_TOKENS)
    least: bool = False


class TokenLengthsRequest(Request):
    """How long a dataset's rows are in a model's tokens; asked of the catalog."""

    model_id: Identifier
    dataset_id: Identifier
    column: str | None = Field(default=None, max_length=200)
    add_special_tokens: bool = True


class CountTokensRequest(Request):
    """The same, complete, as the catalog asks an extractor."""

    artifact: Artifact
    dataset: DatasetRef
    tokenization: Tokenization


class Norms(Value):
    """Mean L2 norms of rows, by hook point and position in the sample.

    Bucket ``b`` is of the positions from ``positions[b]`` to before ``positions[b + 1]``, the last
    to ``longest``. ``mean_norms[h][b]`` belongs to ``hook_points[h]``; null where no token is.
    """

    hook_points: list[str]
    positions: list[int]
    longest: int = Field(ge=0, description="Tokens of the longest sample, as far as it was read.")
    mean_norms: list[list[float | None]]
    tokens_read: int = Field(ge=0, description="For each hook point.")
    total_tokens: int = Field(ge=0)


class HeatSample(Value):
    """A sample and a number for each of its tokens, as many as ``MOST_SHOWN``."""

    sample: int = Field(description="Its place in the store, from 0.")
    row: int = Field(description="The dataset's row that it comes from.")
    start: int = Field(description="Where in the row's tokens it begins; not 0 for windows.")
    token_count: int = Field(description="Of the whole sample.")
    input_ids: list[int]
    texts: list[str] | None = Field(description="Of each token; null without a tokenizer.")
    values: list[float | None] = Field(description="Null where the row is not finite.")


class HeatMap(Value):
    hook_point: str
    measure: Measure
    width: int = Field(description="Of a row.")
    first_sample: int
    total_samples: int
    samples: list[HeatSample]


class TopToken(Value):
    """A token and what is around it."""

    sample: int
    row: int = Field(description="The dataset's row that it comes from.")
    position: int = Field(description="In the sample, from 0.")
    input_id: int
    value: float
    text: str | None = Field(description="Null without a tokenizer; so are its neighbours.")
    before: str | None = None
    after: str | None = None


class TopTokens(Value):
    """The tokens with the largest numbers, or the least, the farthest first.

    Reading stops after some seconds: ``tokens_read`` of ``total_tokens`` were compared.
    """

    hook_point: str
    measure: Measure
    width: int = Field(description="Of a row.")
    tokens: list[TopToken]
    tokens_read: int
    total_tokens: int


class LengthBin(Value):
    """Rows of ``from_tokens`` to ``to_tokens``, both included."""

    from_tokens: int
    to_tokens: int
    rows: int


class TokenLengths(Value):
    """How many tokens a dataset's rows have, over some rows drawn by a fixed seed, or all."""

    column: str
    rows_counted: int = Field(ge=0)
    total_rows: int = Field(ge=0)
    tokens: int = Field(ge=0, description="Of the rows that were counted.")
    estimated_total_tokens: int = Field(ge=0)
    shortest: int = Field(ge=0)
    median: int = Field(ge=0)
    longest: int = Field(ge=0)
    context_length: int | None = Field(default=None, description="Of the model.")
    over_context: int = Field(ge=0, description="Rows counted that are longer than that.")
    bins: list[LengthBin] = Field(default_factory=list)
