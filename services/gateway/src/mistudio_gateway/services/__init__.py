"""What the gateway does with the bus: asks, follows, replays, stores uploads, reads files."""
