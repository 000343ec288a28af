"""Hooks of mkdocs: generated pages, the menu's long lists, and tables of what was measured.

Pages are written where they belong, contracts beside the schemas that they link to; the site
takes them from there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = ("*.md", "*.json", "*.yaml", "schemas/*.json")
_MEASURED = re.compile(r"^<!-- measured: (\w+)(?:\.(\w+))? -->$", re.MULTILINE)
_CONTENDERS = {
    "mistudio": "miStudio, committed to disk",
    "transformers_hooks": "transformers with hooks, padded batches of 32",
    "transformers_sorted": "transformers with hooks, sorted by length",
    "nnsight": "nnsight",
    "nnsight_stopped": "nnsight, told to stop after the last block",
    "transformer_lens": "TransformerLens",
    "transformer_lens_stopped": "TransformerLens, told to stop after the last block",
    "sae_lens": "SAELens",
    "sae_lens_usual": "SAELens, its default of 5,120 rows mixed",
    "read": "the same files read in order, and nothing else",
}
_PARTS = ("engine", "bare")
"""Of ours alone, measured to know where the time goes."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the menu; a folder that is not there has no entry."""
    config.nav = _filled(config.nav or [])
    if (DOCS / "metrics.md").exists():
        reference = next(each["Reference"] for each in config.nav if "Reference" in each)
        reference.append({"Metrics": "metrics.md"})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what ``contracts/`` holds."""
    contracts = ROOT / "contracts"
    for pattern in REFERENCE:
        for path in sorted(contracts.glob(pattern)):
            name = path.relative_to(contracts).as_posix()
            files.append(File.generated(config, f"reference/{name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables in."""
    return _MEASURED.sub(lambda found: measured(found[1], found[2]), markdown)


def measured(benchmark: str, part: str | None = None) -> str:
    """Return a benchmark's kept result as tables, and the machine it was measured on.

    A benchmark of several parts keeps the lines of each part's table; that of one is returned.
    """
    path = ROOT / "benchmarks" / "results" / f"{benchmark}.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    if part is not None:
        lines = found["parts"][part]["table"]
        return "\n".join(["| | |", "|---|---|", *(f"| {what} | {how} |" for what, how in lines)])
    if benchmark == "capture":
        tables = [
            (f"tokens/s, {name} samples", result["tokens_per_second"])
            for name, result in found["sets"].items()
        ]
    else:
        tables = [("MB/s", found["megabytes_per_second"])]
    machine, versions = found["machine"], found["machine"]["versions"]
    on = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}"
    with_ = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n\n".join([*(_table(*each) for each in tables), f"Measured on {on}, {with_}."])


def _table(unit: str, figures: dict[str, float]) -> str:
    shown = {_CONTENDERS[name]: value for name, value in figures.items() if name not in _PARTS}
    rows = sorted(shown.items(), key=lambda each: -each[1])
    return "\n".join([f"| | {unit} |", "|---|---|", *(f"| {n} | {v:,.0f} |" for n, v in rows)])


def _filled(nav: list[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in nav:
        if not isinstance(entry, dict):
            found.append(entry)
            continue
        ((title, below),) = entry.items()
        if isinstance(below, str) and below.endswith("/*"):
            pages = _pages(below.removesuffix("/*"))
            found += [{title: pages}] if pages else []
        else:
            found.append({title: _filled(below) if isinstance(below, list) else below})
    return found


def _pages(folder: str) -> list[str]:
    # README.md is the folder's own page.
    paths = sorted((DOCS / folder).glob("*.md"), key=lambda p: (p.name != "README.md", p.name))
    return [path.relative_to(DOCS).as_posix() for path in paths]
