"""Services as forks of one process that has their code: ``python -m mistudio_testkit.forking``.

Each is a process of its own that runs what ``python -m mistudio_<service>`` runs, and takes a tenth
of a second of processor time to start instead of seconds, so that a test can kill many. A line of
standard input is a command, and each is answered by a line of JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from .kernel import KernelRefused, enter_network, own_disk

_PR_SET_PDEATHSIG = 1

_MAIN = {
    "catalog": "mistudio_catalog.__main__",
    "loader": "mistudio_loader.main",
    "extractor": "mistudio_extractor.main",
    "gateway": "mistudio_gateway.main",
}
_HEAVY = {
    "catalog": ("mistudio_catalog.factory", "mistudio_servicekit.app"),
    "loader": ("mistudio_loader.factory", "mistudio_servicekit.app"),
    "extractor": (
        "torch",
        "transformers.models.gpt2.modeling_gpt2",
        "mistudio_capture",
        "mistudio_extractor.factory",
    ),
    "gateway": ("mistudio_gateway.factory",),
}
"""What a service imports late, and each fork would import anew."""


def main() -> None:
    """Answer commands until standard input ends; every service ends with us."""
    parser = argparse.ArgumentParser()
    parser.add_argument("services", nargs="+", choices=sorted(_MAIN), help="What will be started.")
    parser.add_argument("--home", type=Path, required=True, help="For logs and device ids.")
    parser.add_argument(
        "--disk",
        nargs=2,
        action="append",
        default=[],
        metavar=("PATH", "BYTES"),
        help="A directory that is to be a file system of its own.",
    )
    arguments = parser.parse_args()
    try:
        for path, size in arguments.disk:
            own_disk(Path(path), int(size))
    except KernelRefused as error:
        sys.exit(str(error))
    _import(arguments.services)
    # Nobody waits for those that a test kills.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _answer({"ready": True})
    commands: dict[str, Callable[[str], Any]] = {
        "start": lambda order: _start(arguments.home, **json.loads(order)),
        "checksums": _checksums,
    }
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        _answer(commands[command](argument))


def _import(services: list[str]) -> None:
    if "loader" in services:
        from mistudio_loader.services.children import HUB_ENVIRONMENT

        # Read by huggingface_hub once, when it is imported.
        os.environ.update(HUB_ENVIRONMENT)
    gc.disable()
    for service in services:
        for module in (*_HEAVY[service], _MAIN[service]):
            import_module(module)
    # A fork that looked through what was imported would copy it.
    gc.freeze()
    gc.enable()


def _answer(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _start(home: Path, service: str, name: str, network: str, env: dict[str, str]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become(home, service, name, network, env, parent)
    return child


def _become(
    home: Path, service: str, name: str, network: str, env: dict[str, str], parent: int
) -> NoReturn:
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
        os.environ.update(env)
        log = os.open(home / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = [f"mistudio_{service}"]
        import_module(_MAIN[service]).main()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    finally:
        os._exit(status)


def _checksums(path: str) -> dict[str, list[str]]:
    from .faults import checksums

    return checksums(path)


if __name__ == "__main__":
    main()
