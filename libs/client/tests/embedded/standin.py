"""A stand-in for a service: answers /health/ready, and misbehaves on request.

``python standin.py [--port-variable NAME] [--ignore-term] [--crash] [--child]``
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path in {"/health/ready", "/health/live"}
        body = b"ok" if found else b"no"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the log to what the tests look for."""


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port-variable", default="HEALTH_PORT")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--crash", action="store_true")
    parser.add_argument("--child", action="store_true")
    arguments = parser.parse_args()
    say("environment", *sorted(os.environ))
    if arguments.crash:
        sys.exit("the stand-in cannot work today")
    if arguments.child:
        subprocess.Popen([sys.executable, __file__, "--ignore-term", "--port-variable", "CHILD"])
    if arguments.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get(arguments.port_variable, "0"))
    say("listening", str(port))
    ThreadingHTTPServer(("127.0.0.1", port), Health).serve_forever()


if __name__ == "__main__":
    main()
