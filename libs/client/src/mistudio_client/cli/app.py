"""The mistudio command: its root, from which each command is imported when it is run.

Everything here must stay cheap: shells run it at each press of the tab key.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .options import Service, group

EPILOG = """\b
Exit status:
  0    done
  1    the service answered with an error
  2    wrong usage
  3    not running, or not reachable
  4    there is no such thing
  5    its present status does not allow this
  130  interrupted
"""

_STACK = {
    "up": "Start miStudio on this machine.",
    "status": "Show which services of it are ready.",
    "logs": "Show their logs.",
    "down": "Stop them.",
    "token": "Print a new access token.",
    "doctor": "Check whether this machine can run miStudio.",
}
_KEEPING = {
    "backup": "Save what is on this machine into one file.",
    "restore": "Put such a file into an empty stack.",
}
_GROUPS = {
    "models": "Register, load and unload models.",
    "datasets": "Upload and register datasets.",
    "extract": "Capture a model's activations over a dataset.",
    "extractions": "Follow and cancel extractions.",
    "activations": "Show, export and delete captured activations.",
    "events": "Print events as they happen.",
    "devices": "Show the devices and what they hold.",
    "dead": "List, show and replay messages that could not be handled.",
    "audit": "Show who changed what.",
}


def _stack(name: str, module: str = "stack") -> Any:
    stack = group("")
    import_module(f"{__package__}.{module}").register(stack)
    return typer.main.get_group(stack).commands[name]


def _keeping(name: str) -> Any:
    return _stack(name, "keeping")


def _own(name: str) -> Any:
    return typer.main.get_command(import_module(f"{__package__}.{name}").app)


class Deferred(TyperCommand):
    """A command known by name and summary, imported when it is run or completed."""

    def __init__(self, name: str, summary: str, load: Callable[[str], Any]) -> None:
        super().__init__(name=name, help=summary, rich_markup_mode=None)
        self._load = load

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the real command's context: from here on this one is out of the way."""
        command = self._load(str(self.name))
        return command.make_context(info_name, args, parent=parent, **extra)


_COMMANDS: dict[str, Deferred] = {
    **{name: Deferred(name, summary, _stack) for name, summary in _STACK.items()},
    **{name: Deferred(name, summary, _own) for name, summary in _GROUPS.items()},
    **{name: Deferred(name, summary, _keeping) for name, summary in _KEEPING.items()},
}


class Root(TyperGroup):
    """The commands, in the order in which a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, or None."""
        return _COMMANDS.get(cmd_name)


app = typer.Typer(
    cls=Root, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mistudio {version('mistudio-client')}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def root(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="MISTUDIO_URL",
            help="The service to talk to [default: the one running on this machine].",
            show_default=False,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MISTUDIO_TOKEN",
            help="Access token; better given in the environment, where ps does not show it.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds of silence before a request is given up.")
    ] = 60.0,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """miStudio: load language models and capture their activations."""
    ctx.obj = Service(url, token, timeout)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
