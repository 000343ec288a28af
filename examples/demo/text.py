"""The demo's text: sentences of Python's own documentation topics (PSF licence)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from pydoc_data.topics import topics


def sentences(shortest: int = 6, longest: int = 40) -> list[str]:
    """Return the sentences of ``shortest`` to ``longest`` words, in order, each once."""
    found: dict[str, None] = {}
    for name in sorted(topics):
        prose = re.sub(r"\s+", " ", re.sub(r"^[ *=~-]{3,}.*$", "", topics[name], flags=re.M))
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", prose):
            if shortest <= len(sentence.split()) <= longest and sentence.isprintable():
                found[sentence] = None
    return list(found)


def write(path: Path, count: int) -> Path:
    """Write ``count`` sentences as JSONL with the column ``text``."""
    chosen = sentences()[:count]
    if len(chosen) < count:
        raise SystemExit(f"this Python's topics hold {len(chosen)} sentences, {count} are needed")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps({"text": s}, ensure_ascii=False) + "\n" for s in chosen),
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
