"""The mistudio command."""

from __future__ import annotations

import typer

from .stack import register

app = typer.Typer(no_args_is_help=True, help="miStudio: language models and their activations.")
register(app)


def main() -> None:
    """Run the command line."""
    app()
