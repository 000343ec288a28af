"""Decisions without torch, bus or disk."""
