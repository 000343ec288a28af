"""Decisions: inspection, preparation, ingestion, and the child processes that do the work."""
