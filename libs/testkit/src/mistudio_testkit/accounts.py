"""A NATS server with the users and permissions of a deployment."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mistudio_client.embedded.binaries import nats_server
from mistudio_servicekit.permissions import render_accounts, users

CONFIG = """\
listen: "127.0.0.1:{port}"
max_payload: 8MB
jetstream {{ store_dir: "{store}", max_file_store: 16GB, max_memory_store: 256MB }}
include ./accounts.conf
"""


@dataclass(frozen=True)
class Accounts:
    """A running server; the password of each user is made of its name."""

    port: int

    @property
    def address(self) -> str:
        """Where it is, without a user."""
        return f"nats://127.0.0.1:{self.port}"

    def password(self, user: str) -> str:
        return f"password-of-{user}"

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.password(user)}@127.0.0.1:{self.port}"


@contextmanager
def deployed_accounts(home: Path) -> Iterator[Accounts]:
    """Run a server in a directory of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        running = Accounts(free.getsockname()[1])
    # An include is looked for beside the file that names it.
    (home / "accounts.conf").write_text(render_accounts())
    config = home / "nats.conf"
    config.write_text(CONFIG.format(port=running.port, store=home / "store"))
    passwords = {
        f"NATS_{user.name.upper()}_PASSWORD": running.password(user.name)
        for user in users(["default"])
    }
    with subprocess.Popen(
        [str(nats_server()), "-c", str(config)],
        env={**os.environ, **passwords},
        stderr=subprocess.DEVNULL,
    ) as process:
        yield running
        process.terminate()
