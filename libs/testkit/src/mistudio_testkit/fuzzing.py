"""A fuzzer that knows the REST API by its schema."""

from __future__ import annotations

import subprocess
import sys

from mistudio_client.embedded import EmbeddedStack

_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


def fuzz_rest(stack: EmbeddedStack, *options: str) -> None:
    """Let schemathesis ask with every scope; fail at an answer that is not of the contract.

    Parameters
    ----------
    stack
        Whom to ask.
    options
        Of ``schemathesis run``: phases, and how much of each.
    """
    ran = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url}/api/openapi.json",
            "--header", f"Authorization: Bearer {stack.token}",
            "--checks", _CHECKS, "--workers", "1", *options,
        ],
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
        cwd=stack.data_dir,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
