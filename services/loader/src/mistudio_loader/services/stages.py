"""A span for each stage of a preparation, though its child process makes none."""

from __future__ import annotations

import contextlib
from types import TracebackType

from mistudio_contracts import LoadStage
from mistudio_loader.domain.progress import Step
from mistudio_servicekit.tracing import span


class Stages:
    """The stages that a child's steps name, one after the other, each a span.

    The last one is marked as failed by what ends the block, also where the child was killed and
    could say nothing.
    """

    def __init__(self) -> None:
        self._stage: LoadStage | None = None
        self._span = contextlib.ExitStack()

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._span.__exit__(kind, error, trace)

    def step(self, step: Step) -> None:
        """Take a step: the first one of a stage ends the stage before."""
        if step.stage is self._stage:
            return
        self._span.close()
        self._stage = step.stage
        self._span.enter_context(span(step.stage.value))
