"""Owns every durable fact, the state machines and the outbox."""
