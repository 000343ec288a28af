"""One device: residency, capture and the activation store."""
