"""Files of the pool's shared disk."""
