"""Plain transformers, one sample at a time: what captured values must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def resid_post(
    model_dir: Path, samples: Sequence[Sequence[int]], layers: Sequence[int]
) -> dict[int, list[NDArray[np.float32]]]:
    """Return each layer's raw block outputs, a list of float32 ``[tokens, width]`` a layer.

    The model is loaded in float32 with transformers' own attention; nothing of ours runs.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    blocks = next(
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers
    )
    caught: dict[int, torch.Tensor] = {}

    def hook(layer: int) -> object:
        def keep(_module: object, _inputs: object, output: object) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            assert isinstance(hidden, torch.Tensor)
            caught[layer] = hidden

        return blocks[layer].register_forward_hook(keep)

    for layer in layers:
        hook(layer)
    found: dict[int, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    with torch.no_grad():
        for sample in samples:
            model(input_ids=torch.tensor([list(sample)]), use_cache=False)
            for layer in layers:
                found[layer].append(caught[layer][0].numpy().copy())
    return found


def named(
    model_dir: Path, samples: Sequence[Sequence[int]], modules: Mapping[str, tuple[str, str]]
) -> dict[str, list[NDArray[np.float32]]]:
    """Return rows read at modules by transformers' own names, ``[tokens, width]`` a sample.

    Parameters
    ----------
    model_dir
        Loaded in float32; nothing of ours runs.
    samples
        Their token ids.
    modules
        What to call each, and where it is read: the path within the causal LM, and ``into`` or
        ``out``.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    caught: dict[str, torch.Tensor] = {}

    def keeping(name: str, side: str) -> object:
        def keep(_module: object, inputs: object, output: object) -> None:
            hidden = inputs if side == "into" else output
            first = hidden[0] if isinstance(hidden, tuple) else hidden
            assert isinstance(first, torch.Tensor)
            caught[name] = first.detach().clone()

        return keep

    for name, (path, side) in modules.items():
        model.get_submodule(path).register_forward_hook(keeping(name, side))
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in modules}
    with torch.no_grad():
        for sample in samples:
            model(input_ids=torch.tensor([list(sample)]), use_cache=False)
            for name in modules:
                found[name].append(caught[name].reshape(len(sample), -1).numpy())
    return found


def relative_error(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the largest over rows of ``‖ours − reference‖₂ / ‖reference‖₂``."""
    difference = np.linalg.norm(ours.astype(np.float64) - reference, axis=-1)
    return float((difference / np.linalg.norm(reference.astype(np.float64), axis=-1)).max())
