"""The shared disk: allowed roots, staging, artifacts, datasets."""
