"""Whether the bucket that ``ACTIVATION_CACHE_DIR`` names can be used, tried before a start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from .errors import StackError

VARIABLE = "ACTIVATION_CACHE_DIR"
PREFIX = "AWS_"
"""Of the variables by which the bucket is found and used; the extractor alone is told them."""

REMEDY = (
    f"Name a bucket that exists by {VARIABLE}=s3://bucket/prefix, its server by "
    "AWS_ENDPOINT_URL (and AWS_ALLOW_HTTP=true for http), and who may list, read, write and "
    "delete in it by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)

_SECONDS = 90
_PROBE = """
import sys
from mistudio_activations import ActivationsError, place_of
try:
    place_of(sys.argv[1]).check()
except ActivationsError as error:
    sys.exit(str(error))
"""


def bucket_of(environ: Mapping[str, str]) -> str | None:
    """Return the bucket's URL, or None where the stores lie in a directory."""
    where = environ.get(VARIABLE, "")
    return where if "://" in where else None


def require_bucket(url: str, environ: Mapping[str, str]) -> None:
    """Write, read and delete a small object of no meaning, in a process of its own.

    Parameters
    ----------
    url
        Such as ``s3://bucket/prefix``.
    environ
        Says where the server is, and by what right it is asked.

    Raises
    ------
    StackError
        When that does not work, with the reason.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, url],
            env=dict(environ),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(
            f"The bucket of the activation stores took over {_SECONDS} s.", remedy=REMEDY
        ) from None
    if done.returncode != 0:
        # The last line is a sentence of ours, or the type of what nobody foresaw.
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise StackError(f"{last[0].upper()}{last[1:]}.", remedy=REMEDY)
