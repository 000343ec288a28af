"""``mistudio dead``: messages of the bus that could not be handled."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mistudio_contracts.views import DeadLetterDetail

from . import human, output
from .options import AsJson, Yes, group
from .session import connected

app = group("List, show, replay and discard messages that could not be handled.")

Place = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="As `list` shows it.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List what could not be handled, the oldest first."""
    with connected(ctx) as client:
        found = list(client.dead_letters.iterate())
        if as_json:
            output.print_json(found)
            return
        output.table(
            ("number>", "subject", "error", "reason", "attempts>", "size>", "died"),
            (
                (
                    str(letter.sequence),
                    letter.subject,
                    letter.code,
                    letter.reason,
                    human.NONE if letter.attempts is None else str(letter.attempts),
                    human.size(letter.bytes),
                    human.ago(letter.died_at),
                )
                for letter in found
            ),
        )


@app.command()
def show(ctx: typer.Context, number: Place, as_json: AsJson = False) -> None:
    """Show a message that could not be handled, and why."""
    with connected(ctx) as client:
        found = client.dead_letters.get(number)
        if as_json:
            output.print_json(found)
            return
        output.facts(_facts(found))
        output.print_text(_readable(found.payload))


@app.command()
def replay(ctx: typer.Context, number: Place, as_json: AsJson = False) -> None:
    """Put a message back where it came from, once what ailed it is mended."""
    with connected(ctx) as client:
        back = client.dead_letters.replay(number)
        if as_json:
            output.print_json(back)
        else:
            output.print_text(f"{number} is back in its queue, as {back.sequence}.")


@app.command()
def discard(ctx: typer.Context, number: Place, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a message away for good."""
    with connected(ctx) as client:
        if not yes and not as_json and output.interactive():
            typer.confirm(f"Discard {number}?", abort=True, err=True)
        client.dead_letters.discard(number)
        if as_json:
            output.print_json({"discarded": number})
        else:
            output.print_text(f"Discarded {number}.")


def _facts(letter: DeadLetterDetail) -> list[tuple[str, str]]:
    error = letter.error
    return [
        ("number", str(letter.sequence)),
        ("subject", letter.subject),
        ("message", letter.message_id),
        ("error", letter.code if error is None else f"{letter.code}: {error.message}"),
        ("reason", letter.reason),
        ("remedy", human.NONE if error is None else str(error.details.get("remedy", human.NONE))),
        ("attempts", human.NONE if letter.attempts is None else str(letter.attempts)),
        ("died", human.ago(letter.died_at)),
        ("size", human.size(letter.bytes)),
    ]


def _readable(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except ValueError:
        return "\n".join(output.printable(line) for line in payload.splitlines())
