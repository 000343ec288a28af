"""What single tokens read as, in the words of the model that they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mistudio_activations import Info
from mistudio_contracts.errors import InvalidInput
from mistudio_extractor.storage.layout import Layout

from .tokenizing import tokenizer_of

ANCHOR = "a"


def texts_of(layout: Layout, info: Info) -> Texts | None:
    """Return the texts of a store's tokens; None when the model or its tokenizer is gone."""
    fingerprint = info.model.fingerprint if info.model else None
    artifact = layout.known_artifact(fingerprint) if fingerprint else None
    if artifact is None:
        return None
    try:
        return Texts(tokenizer_of(artifact))
    except InvalidInput:
        return None


class Texts:
    """Texts of tokens as they stand in the middle of others: `` the``, with its space.

    A token that is a part of a character reads as the replacement character.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # Many a tokenizer strips the space before what it decodes first.
        self._anchor = tokenizer(ANCHOR, add_special_tokens=False, verbose=False)["input_ids"][-1:]
        self._before = self._decoded(self._anchor)
        self._known: dict[int, str] = {}

    def each(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token."""
        for each in set(ids) - self._known.keys():
            self._known[each] = self.together([each])
        return [self._known[each] for each in ids]

    def together(self, ids: Sequence[int]) -> str:
        """Return the text of tokens that follow each other."""
        if not ids:
            return ""
        text = self._decoded([*self._anchor, *ids])
        if text.startswith(self._before):
            return text[len(self._before) :]
        return self._decoded(ids)

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text
