"""What of a page of the documentation can be run: the blocks that a comment before them marks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^<!-- (?P<mark>[a-z: ]+) -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A marked block of a page."""

    mark: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the marked blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(each["mark"], each["language"], each["code"]) for each in _BLOCK.finditer(text)]
