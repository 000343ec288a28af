"""Routes: parse, ask, translate."""
