"""Decisions about events, progress and bodies, without a bus and without a server."""
