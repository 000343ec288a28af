"""``mistudio devices``: what there is to compute on."""

from __future__ import annotations

import typer

from . import human, output
from .options import AsJson, group
from .session import connected

app = group("")


@app.command()
def devices(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the devices and what they hold."""
    with connected(ctx) as client:
        found = client.devices().devices
        if as_json:
            output.print_json(found)
            return
        output.table(
            (
                *("id", "name", "kind", "pool", "online", "memory", "free>", "models>"),
                *("activations>", "disk free>", "cannot use"),
            ),
            (
                (
                    device.id,
                    device.name,
                    device.kind,
                    device.pool,
                    "yes" if device.online else "no",
                    f"{human.size(device.memory_used_bytes)} of "
                    f"{human.size(device.memory_budget_bytes)}",
                    human.size(device.memory_free_bytes),
                    str(len(device.resident_models)),
                    human.size(device.store_bytes),
                    human.size(device.store_free_bytes or None),
                    ", ".join(map(str, device.unavailable_formats)) or human.NONE,
                )
                for device in found
            ),
        )
        for device in found:
            for format_, why in device.unavailable_formats.items():
                output.note(f"{device.name} cannot use {format_}: {why}")
