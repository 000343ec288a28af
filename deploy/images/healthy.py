"""Exit with 0 when this container's service is ready: the health check of the images."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

PATIENCE = 3.0


def main() -> int:
    """Ask the service for its readiness; the gateway answers on its own port."""
    port = os.environ.get("GATEWAY_PORT") or os.environ["HEALTH_PORT"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE):
            return 0
    except (urllib.error.URLError, TimeoutError) as error:
        sys.stderr.write(f"not ready: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
