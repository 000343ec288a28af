"""Namespaces of the kernel, entered without any program: a disk, or a network, of one's own."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_MS_REC, _MS_PRIVATE = 0x4000, 0x40000


class KernelRefused(RuntimeError):
    """The kernel does not let this user have what a test needs; says what is missing."""


def leave(flags: int, what: str) -> None:
    """Leave the parent's namespaces for new ones; an ordinary user for one of users first.

    Call it while the process has one thread alone, except for ``CLONE_NEWNET`` as root, which moves
    the calling thread.

    Raises
    ------
    KernelRefused
        With ``what`` would have been made.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", ctypes.c_int(flags))
    except PermissionError:
        try:
            _call("unshare", ctypes.c_int(flags | CLONE_NEWUSER))
        except OSError as error:
            raise KernelRefused(
                f"{what} needs CAP_SYS_ADMIN, or user namespaces for everybody "
                "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0; "
                f"in a container --cap-add SYS_ADMIN): {error.strerror}"
            ) from error
        # Who we were, so that files are ours still.
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def own_disk(directory: Path, size: int) -> None:
    """Mount an empty file system of ``size`` bytes at ``directory``, seen by this process alone.

    It ends with the last process that sees it.

    Raises
    ------
    KernelRefused
        Where this user may not.
    """
    leave(CLONE_NEWNS, "a file system of the test's own")
    _call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    options = f"size={size}".encode()
    target = os.fsencode(directory)
    _call("mount", b"tmpfs", target, b"tmpfs", ctypes.c_ulong(0), options)


def enter_network(namespace: Path) -> None:
    """Move the calling thread into the network namespace of a file."""
    with namespace.open("rb") as file:
        _call("setns", ctypes.c_int(file.fileno()), ctypes.c_int(CLONE_NEWNET))


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
