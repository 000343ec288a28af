"""Extractors as forks of one process that has torch: ``python -m mistudio_testkit.forking``.

Each is a process of its own that runs what ``python -m mistudio_extractor`` runs, and takes a tenth
of a second of processor time to start instead of seconds, so that a test can kill many. A line of
standard input is a command, and each is answered by a line of JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .kernel import KernelRefused, enter_network, own_disk

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer commands until standard input ends; every extractor ends with us."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--disk", type=int, help="Bytes of a file system for the stores alone.")
    parser.add_argument("--home", type=Path, required=True, help="For logs and device ids.")
    arguments = parser.parse_args()
    if arguments.disk:
        try:
            own_disk(Path(os.environ["ACTIVATION_CACHE_DIR"]), arguments.disk)
        except KernelRefused as error:
            sys.exit(str(error))
    _import()
    # Nobody waits for those that a test kills.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _answer({"ready": True})
    commands: dict[str, Callable[[str], Any]] = {
        "start": lambda words: _start(arguments.home, *words.split()),
        "checksums": _checksums,
    }
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        _answer(commands[command](argument))


def _import() -> None:
    import torch  # noqa: F401
    import transformers.models.gpt2.modeling_gpt2  # noqa: F401

    import mistudio_capture  # noqa: F401
    import mistudio_extractor.factory
    import mistudio_extractor.main  # noqa: F401


def _answer(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _start(home: Path, name: str, network: str = "") -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(home, name, network, parent)
    return child


def _become(home: Path, name: str, network: str, parent: int) -> NoReturn:
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(status)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if network:
            enter_network(Path(network))
        identity = home / f"device-{name}"
        identity.write_text(f"dev_{name}\n", encoding="ascii")
        os.environ["DEVICE_ID_FILE"] = str(identity)
        log = os.open(home / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        from mistudio_extractor.main import main as extractor

        extractor()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    finally:
        os._exit(status)


def _checksums(path: str) -> dict[str, list[str]]:
    from .faults import checksums

    return checksums(path)


if __name__ == "__main__":
    main()
