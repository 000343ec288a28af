"""Datasets: any of the formats, or a hub dataset, to one canonical Parquet file."""
