"""``mistudio events``: what happened, and what happens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mistudio_contracts.frames import Frame

from . import human, output
from .options import AsJson, group
from .session import connected

app = group("")

# The service sends what it has at once; a longer silence means that nothing more is kept.
_SILENCE_SECONDS = 3.0
_CONNECT_SECONDS = 2.0


@app.command()
def events(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Id of the last event seen; 0 for all that are kept. "
            "By default all of them, or with --follow only what is new.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print events, one a line. After an interruption none is missing and none comes twice."""
    start = 0 if after is None and not follow else after
    with connected(ctx) as client, client.events(after=start) as stream:
        stream.require(min(_CONNECT_SECONDS, client.timeout))
        if stream.gap and after:
            output.note(f"Not all events after {after} are still kept.")
        if follow:
            for frame in stream:
                _print(frame, as_json=as_json)
        newest = stream.newest_id or 0
        while (stream.last_id or 0) < newest:
            found = stream.next(_SILENCE_SECONDS)
            if found is None:
                return
            if found.id is not None:
                _print(found, as_json=as_json)


def _print(frame: Frame, *, as_json: bool) -> None:
    if as_json:
        output.print_json_line(frame)
        return
    data = frame.data
    number = human.NONE if frame.id is None else str(frame.id)
    moment = str(data.get("timestamp", ""))[:19].replace("T", " ")
    words = [output.printable(str(value)) for value in _subjects(data)]
    output.print_text(f"{number:>6}  {moment}  {frame.type:<27}  {'  '.join(words)}")


def _subjects(data: dict[str, Any]) -> list[str]:
    found = [str(data[name]) for name in _IDS if data.get(name)]
    if "progress" in data:
        found.append(f"{float(data['progress']):.0f} %")
    if data.get("stage"):
        found.append(str(data["stage"]))
    error = data.get("error")
    if isinstance(error, dict):
        found.append(str(error.get("message", "")))
    return found


_IDS = ("extraction_id", "model_id", "dataset_id", "cache_id", "device_id", "command_id")
