"""Finds Prometheus, Alertmanager and their tools for tests, or unpacks Debian's.

In this order: what is on ``PATH``; what an earlier call unpacked; Debian's package, downloaded and
unpacked, which an ordinary user may do. Where none of it works, the error says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from filelock import FileLock

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
"""Debian's package of each program."""

_DEBIANS_NAMES = {"alertmanager": "prometheus-alertmanager"}


class PrometheusMissing(RuntimeError):
    """A program is not there and could not be unpacked; the message says what to do."""


def find_program(
    name: str, *, environ: Mapping[str, str] | None = None, cache: Path | None = None
) -> Path:
    """Return a program that runs.

    Parameters
    ----------
    name
        One of :data:`PACKAGES`.
    environ
        Environment to look in; the process's own by default.
    cache
        Directory that keeps what was unpacked; the user's own by default.

    Raises
    ------
    PrometheusMissing
        With what was tried and what to install.
    """
    path = (os.environ if environ is None else environ).get("PATH")
    for each in (name, _DEBIANS_NAMES.get(name, name)):
        found = shutil.which(each, path=path)
        if found:
            return _running(Path(found))
    home = (cache or platformdirs.user_cache_path("mistudio")) / "prometheus"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "unpack.lock"):
        if not (home / name).exists():
            try:
                _unpack(PACKAGES[name], home, path)
            except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
                output = str(getattr(error, "stderr", None) or "").strip()[-500:]
                raise _missing(name, f"{error} {output}") from error
    return _running(home / name)


def _unpack(package: str, home: Path, path: str | None) -> None:
    """Put a package's programs into a directory, each under its usual name."""
    apt = shutil.which("apt-get", path=path)
    if apt is None or shutil.which("dpkg-deb", path=path) is None:
        raise FileNotFoundError("apt-get and dpkg-deb are not there")
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        try:
            _download(apt, package, scratch)
        except subprocess.CalledProcessError:
            if os.geteuid() != 0:
                raise
            # A fresh container has no lists of packages.
            _run([apt, "--quiet", "update"], scratch)
            _download(apt, package, scratch)
        (archive,) = Path(scratch).glob("*.deb")
        names = {_DEBIANS_NAMES.get(n, n): n for n, of in PACKAGES.items() if of == package}
        unpacking = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE
        )
        with unpacking, tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
            for member in files:
                name = names.get(member.name.removeprefix("./usr/bin/"))
                content = files.extractfile(member) if name else None
                if name is None or content is None:
                    continue
                target = Path(scratch) / name
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(0o755)
        for name in names.values():
            (Path(scratch) / name).rename(home / name)


def _download(apt: str, package: str, scratch: str) -> None:
    _run([apt, "--quiet", "download", package], scratch)


def _run(argv: list[str], where: str) -> None:
    subprocess.run(argv, cwd=where, check=True, capture_output=True, text=True, timeout=600)


def _running(program: Path) -> Path:
    try:
        ran = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(program.name, str(error)) from error
    if ran.returncode != 0:
        raise _missing(program.name, ran.stdout + ran.stderr)
    return program


def _missing(name: str, why: str) -> PrometheusMissing:
    return PrometheusMissing(
        f"The tests of metrics and alerts need {name}, and none was found: install the packages"
        " prometheus and prometheus-alertmanager of your distribution, or put their programs on"
        f" PATH. Tried: {why.strip()}"
    )
