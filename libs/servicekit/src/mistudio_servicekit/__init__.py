"""The kit of every service: settings, logs, bus, request/reply, health, provisioning, auth."""
