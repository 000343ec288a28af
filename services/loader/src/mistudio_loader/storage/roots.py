"""Local paths that users may name: only those inside the allowed roots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from mistudio_contracts.errors import InvalidInput

_REMEDY = "Name a path inside a directory allowed with --allow or LOCAL_ROOTS."


class LocalRoots:
    """Resolves identifiers under the allowed roots.

    Parameters
    ----------
    roots
        Directories whose contents may be read. None of them means that nothing may.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.expanduser().resolve() for root in roots]

    def resolve(self, identifier: str, field: str) -> Path:
        """Return the real path of an identifier, absolute or relative to a root.

        Parameters
        ----------
        identifier
            As the user gave it.
        field
            The input to blame.

        Raises
        ------
        InvalidInput
            ``reason`` is ``outside_roots`` for a path that leaves the roots, also through a
            symbolic link, and ``not_found`` for one that is not there.
        """
        if "\x00" in identifier or ".." in PurePath(identifier.replace("\\", "/")).parts:
            raise self._outside(field)
        # Path.expanduser raises where a name after ~ is nobody's.
        path = Path(os.path.expanduser(identifier))  # noqa: PTH111
        candidates = [path] if path.is_absolute() else [root / path for root in self._roots]
        inside = False
        for candidate in candidates:
            try:
                real = candidate.resolve()
                there = real.exists()
            except (OSError, RuntimeError):
                # A name longer than a file system takes, or links in a ring.
                real, there = candidate, False
            if not any(real.is_relative_to(root) for root in self._roots):
                continue
            inside = True
            if there:
                return real
        if not inside:
            raise self._outside(field)
        raise InvalidInput(
            f"There is nothing at {identifier}.",
            field=field,
            reason="not_found",
            remedy="Check the spelling; a relative path starts at an allowed directory.",
        )

    @staticmethod
    def _outside(field: str) -> InvalidInput:
        return InvalidInput(
            "The path is outside the allowed directories.",
            field=field,
            reason="outside_roots",
            remedy=_REMEDY,
        )
