"""The model hub, spoken to through ``huggingface_hub``."""
