"""Seeded schedules of faults over a whole stack, and what must hold whatever they hit."""
