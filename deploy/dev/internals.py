"""Render ``docs/INTERNALS.md``: what each file is for, from the first sentence of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "libs/contracts",
    "libs/servicekit",
    "libs/footprint",
    "libs/capture",
    "libs/activations",
    "libs/client",
    "libs/testkit",
    "services/catalog",
    "services/loader",
    "services/extractor",
    "services/gateway",
)
START = """# Internals

What each file is for, from its own docstring (`make contracts` writes this page). Start at a
service's `factory.py`: it is the only place where its parts are wired.

| question | answer |
|---|---|
| What decides a batch's size? | `token_budget` in `libs/footprint`, called by the extractor |
| Where are a model's states? | `services/catalog`, `domain/` |
| What is on the bus? | `libs/contracts`, `subjects.py`; kept in `topology.py` |
| Where are rows written? | `libs/activations`, `ShardWriter` |
| What stops the forward pass? | `libs/capture` |
"""


def purpose(path: Path) -> str:
    """Return the first sentence of a module's docstring; empty when it has none."""
    document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(document.split("\n\n")[0].split())


def page() -> str:
    """Return the page."""
    parts = [START]
    for package in PACKAGES:
        source = ROOT / package / "src"
        (module,) = (p for p in source.iterdir() if p.is_dir() and not p.name.endswith("-info"))
        parts.append(f"## {package}\n\n{purpose(module / '__init__.py')}\n")
        rows = ["| file | what it is for |", "|---|---|"]
        for path in sorted(module.rglob("*.py"), key=lambda p: (len(p.parts), str(p))):
            if path.name == "__init__.py":
                continue
            told = purpose(path).replace("|", "\\|")
            rows.append(f"| `{path.relative_to(module)}` | {told} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)
