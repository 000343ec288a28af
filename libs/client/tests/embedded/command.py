"""The mistudio command with stand-ins for the services: ``python command.py up --port 0 …``."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import typer

from mistudio_client.cli import stack
from mistudio_client.embedded import EmbeddedStack

STANDIN = str(Path(__file__).with_name("standin.py"))

if __name__ == "__main__":
    flags = os.environ.get("STANDIN_FLAGS", "").split()
    commands = {
        "gateway": [sys.executable, STANDIN, "--port-variable", "GATEWAY_PORT"],
        "loader": [sys.executable, STANDIN, *flags],
    }
    # The command builds the stack as users get it; only the services are not theirs.
    stack.EmbeddedStack = functools.partial(  # type: ignore[assignment,attr-defined]
        EmbeddedStack, services=list(commands), commands=commands, setup={}
    )
    app = typer.Typer()
    stack.register(app)
    app()
