"""Whom Postgres runs as, and which places that user can reach."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mistudio_client.embedded.binaries import postgres_bin
from mistudio_client.embedded.errors import MissingBinary, StackError

CANDIDATES = ("postgres", "nobody")
OUTSIDE = Path("/var/lib/mistudio")


@dataclass(frozen=True)
class Account:
    """A user to run as; for an ordinary user, that same user.

    Parameters
    ----------
    uid, gid
        None when no change of user is wanted.
    """

    uid: int | None = None
    gid: int | None = None

    @property
    def user(self) -> tuple[int, int] | None:
        """User and group id, or None to stay who we are."""
        return None if self.uid is None or self.gid is None else (self.uid, self.gid)

    def run(
        self, command: Sequence[str], *, cwd: Path | str = "/", text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this user, with a bare environment."""
        as_user = {"user": self.uid, "group": self.gid} if self.uid is not None else {}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            list(command),
            cwd=cwd,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **as_user,
            **({"extra_groups": []} if as_user else {}),
        )

    def own(self, path: Path) -> None:
        """Give ``path`` to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Tell whether this user can enter the directory ``path``."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(path)]).returncode == 0


def database_account(owned: Path | None = None) -> Account:
    """Return the user that Postgres is to run as.

    Postgres refuses to run as root; root lends it an unprivileged user that exists already.

    Parameters
    ----------
    owned
        An existing cluster, whose owner is kept.
    """
    if os.geteuid() != 0:
        return Account()
    if owned is not None and owned.exists():
        found = owned.stat()
        return Account(found.st_uid, found.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise StackError(
        "Postgres refuses to run as root, and there is neither a postgres nor a nobody user.",
        remedy="Run mistudio as an ordinary user, or set DATABASE_URL to a server of your own.",
    )


def reachable_home(inside: Path, instance: str, account: Account, outside: Path = OUTSIDE) -> Path:
    """Return the directory for the database: ``inside``, or one its user can reach.

    Parents of the data directory are the user's and stay as they are: a clone under a closed
    home has its database under ``outside`` instead.
    """
    if account.reaches(inside.parent):
        return inside
    return _outside(outside, instance) / "postgres"


def reachable_package(
    package: Path, instance: str, account: Account, outside: Path = OUTSIDE
) -> Path:
    """Return ``package``, or a copy of it that the database's user can run."""
    program = postgres_bin(package) / "postgres"
    if _runs(program, account):
        return package
    version = Account().run([str(program), "--version"])
    if version.returncode != 0:
        raise MissingBinary(
            f"Postgres does not run on this machine: {version.stderr.strip()}",
            remedy="Set DATABASE_URL to a Postgres server of your own.",
        )
    home = _outside(outside, instance)
    copy = home / version.stdout.split()[-1] / package.name
    if not _runs(postgres_bin(copy) / "postgres", account):
        _copy_package(package, copy)
    if not _runs(postgres_bin(copy) / "postgres", account):
        raise MissingBinary(
            f"The database's user (uid {account.uid}) cannot run {postgres_bin(copy)}/postgres.",
            remedy="Set DATABASE_URL to a Postgres server of your own.",
        )
    return copy


def _runs(program: Path, account: Account) -> bool:
    try:
        return account.run([str(program), "--version"]).returncode == 0
    except (PermissionError, FileNotFoundError):
        return False


def _copy_package(package: Path, copy: Path) -> None:
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir(parents=True)
    # The programs find their own shared libraries at a fixed place beside the package.
    libraries = package.with_name(f"{package.name}.libs")
    for source in (package, libraries):
        if source.exists():
            shutil.copytree(source, copy.with_name(source.name))


def _outside(outside: Path, instance: str) -> Path:
    home = outside / instance
    try:
        outside.mkdir(mode=0o755, parents=True, exist_ok=True)
        home.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"{home}, which the database's user could reach, cannot be created: {error.strerror}.",
            remedy="Choose a --data-dir that other users may pass through, such as /srv/mistudio.",
        ) from error
    return home
