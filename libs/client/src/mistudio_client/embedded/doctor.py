"""Checks whether this machine can run the embedded stack, and says how to mend what cannot."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import psutil

from . import bucket, control
from .binaries import nats_server, postgres_bin, postgres_package
from .errors import StackError
from .layout import Layout
from .ports import is_free, owner
from .servers.account import OUTSIDE, Account, database_account

Level = Literal["ok", "warn", "fail"]

_GIB = 1024**3
_TORCH_SECONDS = 90
_FORMATS_SECONDS = 300
_TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "device": torch.cuda.get_device_name(0) if cuda else "CPU",
    "works": float(torch.ones(2, device="cuda" if cuda else "cpu").sum()) == 2.0,
}))
"""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Parameters
    ----------
    check
        What was looked at.
    level
        ``ok``, ``warn`` or ``fail``.
    detail
        What was found.
    remedy
        How to mend it, where there is something to mend.
    """

    check: str
    level: Level
    detail: str
    remedy: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return asdict(self)


def examine(layout: Layout, port: int, host: str = "127.0.0.1") -> list[Finding]:
    """Run every check.

    Parameters
    ----------
    layout
        The data directory that the stack would use; it is not created.
    port, host
        Where its gateway would listen.
    """
    checks: list[Callable[[], Finding]] = [
        _python,
        _system,
        _torch,
        _formats,
        _nats,
        _postgres,
        lambda: _account(layout),
        lambda: _writable(layout),
        lambda: _disk(layout),
        _bucket,
        _memory,
        lambda: _port(layout, port, host),
    ]
    return [check() for check in checks]


def _python() -> Finding:
    detail = f"{platform.python_version()} at {sys.executable}"
    major, minor, _ = platform.python_version_tuple()
    if (int(major), int(minor)) < (3, 10):
        return Finding("python", "fail", detail, "Use Python 3.10 or newer.")
    return Finding("python", "ok", detail)


def _system() -> Finding:
    libc, version = platform.libc_ver()
    detail = f"{platform.system()} {platform.machine()}, {libc or 'libc'} {version or 'unknown'}"
    if platform.system() not in {"Linux", "Darwin"}:
        return Finding("system", "fail", detail, "Use Linux, macOS, or WSL on Windows.")
    if platform.system() == "Darwin":
        return Finding("system", "ok", detail)
    if libc != "glibc":
        remedy = "The servers' wheels need glibc: use the container images on this system."
        return Finding("system", "fail", detail, remedy)
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 27):
        return Finding("system", "fail", detail, "Use a system with glibc 2.27 or newer.")
    return Finding("system", "ok", detail)


def _torch() -> Finding:
    # In a process of its own: a broken driver can hang or end the one that imports torch.
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TORCH_PROBE],
            capture_output=True,
            text=True,
            timeout=_TORCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"importing it and adding two numbers took over {_TORCH_SECONDS} s"
        return Finding("torch", "fail", detail, "Check the GPU driver, with nvidia-smi for one.")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Finding(
            "torch", "fail", last, "Install torch for this machine (on Jetson, NVIDIA's)."
        )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    detail = f"{found['version']} on {found['device']}"
    if not found["works"]:
        return Finding("torch", "fail", f"{detail} computes wrongly", "Reinstall torch.")
    if found["device"] == "CPU":
        return Finding("torch", "ok", f"{detail} (no GPU is seen; capture works, more slowly)")
    return Finding("torch", "ok", detail)


def _formats() -> Finding:
    if find_spec("mistudio_capture") is None:
        return Finding("formats", "ok", "the extractor is not installed here")
    remedy = "none, fp16 and bf16 work. For the others install a bitsandbytes built for this GPU."
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mistudio_capture.kernels"],
            capture_output=True,
            text=True,
            timeout=_FORMATS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding("formats", "warn", f"the check took over {_FORMATS_SECONDS} s", remedy)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Finding("formats", "warn", f"int8 and int4 could not be tried: {last}", remedy)
    found: dict[str, str | None] = json.loads(done.stdout.strip().splitlines()[-1])
    broken = {name: reason for name, reason in found.items() if reason is not None}
    if broken:
        detail = "; ".join(f"{name} does not run: {reason}" for name, reason in broken.items())
        return Finding("formats", "warn", detail, remedy)
    return Finding("formats", "ok", f"{' and '.join(found)} run")


def _nats() -> Finding:
    if os.environ.get("NATS_URL"):
        return Finding("nats", "ok", "NATS_URL is set; the embedded server is not used")
    return _program("nats", nats_server, "NATS_URL")


def _postgres() -> Finding:
    if os.environ.get("DATABASE_URL"):
        return Finding("postgres", "ok", "DATABASE_URL is set; the embedded server is not used")
    return _program(
        "postgres", lambda: postgres_bin(postgres_package()) / "postgres", "DATABASE_URL"
    )


def _program(check: str, find: Callable[[], Path], variable: str) -> Finding:
    try:
        done = Account().run([str(find()), "--version"])
    except StackError as error:
        return Finding(check, "fail", error.message, error.remedy)
    except OSError as error:
        remedy = f"Its wheel is for another system; set {variable} to a server of your own."
        return Finding(check, "fail", f"it cannot be run: {error.strerror}", remedy)
    if done.returncode != 0:
        remedy = f"Set {variable} to a server of your own."
        return Finding(check, "fail", done.stderr.strip() or "it does not run", remedy)
    return Finding(check, "ok", done.stdout.strip())


def _account(layout: Layout) -> Finding:
    if os.environ.get("DATABASE_URL"):
        return Finding("user", "ok", "the database is elsewhere")
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            remedy = "Give the user an entry in /etc/passwd, or set DATABASE_URL."
            detail = f"uid {os.geteuid()} has no name, which Postgres needs"
            return Finding("user", "fail", detail, remedy)
        return Finding("user", "ok", "an ordinary user; Postgres runs as the same")
    try:
        account = database_account()
    except StackError as error:
        return Finding("user", "fail", error.message, error.remedy)
    where = layout.postgres if account.reaches(_existing(layout.root)) else OUTSIDE
    return Finding(
        "user", "ok", f"root; Postgres runs as uid {account.uid} with its data in {where}"
    )


def _writable(layout: Layout) -> Finding:
    place = _existing(layout.root)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("data directory", "ok", str(layout.root))
    remedy = "Name another with --data-dir or MISTUDIO_DATA_DIR."
    return Finding("data directory", "fail", f"{place} cannot be written", remedy)


def _disk(layout: Layout) -> Finding:
    free = shutil.disk_usage(_existing(layout.root)).free / _GIB
    detail = f"{free:.1f} GiB free for {layout.root}"
    if free < 1:
        return Finding("disk", "fail", detail, "Free some space, or choose another --data-dir.")
    if free < 20:
        remedy = "Models and activations may take 150 GB; choose another --data-dir for more."
        return Finding("disk", "warn", detail, remedy)
    return Finding("disk", "ok", detail)


def _bucket() -> Finding:
    url = bucket.bucket_of(os.environ)
    if url is None:
        return Finding("bucket", "ok", "not used; activation stores lie in a directory")
    try:
        bucket.require_bucket(url, os.environ)
    except StackError as error:
        return Finding("bucket", "fail", error.message, error.remedy)
    return Finding("bucket", "ok", "objects can be written, read and deleted")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    if memory.available < 2 * _GIB:
        remedy = "End other programs; the stack needs about 2 GiB besides the models."
        return Finding("memory", "warn", detail, remedy)
    return Finding("memory", "ok", detail)


def _port(layout: Layout, port: int, host: str) -> Finding:
    process = control.running_supervisor(layout) if layout.run.exists() else None
    if process is not None:
        return Finding("port", "ok", f"miStudio runs here already, pid {process.pid}")
    if port == 0 or is_free(port, host):
        return Finding("port", "ok", f"{port or 'any'} is free")
    detail = f"{port} is in use by {owner(port) or 'another process'}"
    return Finding(
        "port", "fail", detail, "Start with another --port, or --port 0 for any free one."
    )


def _existing(path: Path) -> Path:
    """The nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path
