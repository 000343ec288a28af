"""Asks a local HTTP endpoint whether it is well."""

from __future__ import annotations

import http.client


def http_ok(port: int, path: str, host: str = "127.0.0.1", timeout: float = 1.0) -> bool:
    """Tell whether ``GET path`` answers 200.

    A bare connection is used so that no proxy of the environment comes between.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
