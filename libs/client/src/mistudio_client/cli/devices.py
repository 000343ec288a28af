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
            ("id", "name", "kind", "pool", "online", "memory", "models>", "activations>", "free>"),
            (
                (
                    device.id,
                    device.name,
                    device.kind,
                    device.pool,
                    "yes" if device.online else "no",
                    f"{human.size(device.memory_used_bytes)} of "
                    f"{human.size(device.memory_budget_bytes)}",
                    str(len(device.resident_models)),
                    human.size(device.store_bytes),
                    human.size(device.store_free_bytes),
                )
                for device in found
            ),
        )
