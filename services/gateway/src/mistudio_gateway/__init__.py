"""REST, WebSocket and static files; no torch, no SQL."""
