"""Run by the environment of peers: train an SAE of SAELens on an export, and print its losses."""

import json
import sys
from pathlib import Path

import torch
from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig
from sae_lens.config import CacheActivationsRunnerConfig, SAETrainerConfig
from sae_lens.training.activations_store import ActivationsStore
from sae_lens.training.sae_trainer import SAETrainer

torch.manual_seed(0)
path = Path(sys.argv[1])
told = json.loads((path / "cache_activations_runner_cfg.json").read_text())
config = CacheActivationsRunnerConfig(
    **{**told, "new_cached_activations_path": str(path), "model_batch_size": 4}
)
# It never runs the model, of which only the type is asked for.
store = ActivationsStore.from_config(torch.nn.Module(), config)
raw, token_ids = store.get_raw_llm_batch()
store.train_batch_size_tokens = 64
store.n_batches_in_buffer = 64  # By default two gigabytes' worth, filled again and again.
sae = StandardTrainingSAE(
    StandardTrainingSAEConfig(d_in=config.d_in, d_sae=4 * config.d_in, l1_coefficient=0.01)
)
settings = SAETrainerConfig(
    total_training_samples=64 * 150, train_batch_size_samples=64, lr=3e-3, lr_end=3e-3
)
trainer = SAETrainer(cfg=settings, sae=sae, data_provider=store)
losses = []
step = trainer.step


def kept(batch):
    output = step(batch)
    losses.append(float(output.losses["mse_loss"]))
    return output


trainer.step = kept
trainer.fit()
json.dump(
    {"losses": losses, "rows": raw.float().tolist(), "token_ids": token_ids.tolist()}, sys.stdout
)
