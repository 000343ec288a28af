"""Pure rules: what a checkpoint is, what identifies it, and how far along a load is."""
