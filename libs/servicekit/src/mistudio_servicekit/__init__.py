"""Settings, logging, telemetry, bus wiring, health and auth for every service."""
