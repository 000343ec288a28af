"""Starts a stack of stand-ins and waits to be killed: ``python owner.py DATA_DIR [--detach]``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from mistudio_client.embedded import EmbeddedStack

STANDIN = str(Path(__file__).with_name("standin.py"))

if __name__ == "__main__":
    gateway = [sys.executable, STANDIN, "--port-variable", "GATEWAY_PORT"]
    detach = "--detach" in sys.argv
    stack = EmbeddedStack(
        Path(sys.argv[1]),
        services=["gateway"],
        commands={"gateway": gateway},
        setup={},
        detach=detach,
    ).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not detach:
        signal.pause()
