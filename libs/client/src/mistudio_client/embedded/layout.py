"""Where everything of one embedded stack lies on disk."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mistudio_client.paths import written

from .errors import StackError
from .files import read_or_create

# sun_path holds 104 bytes on macOS and 108 on Linux, with the final zero; supervisord first
# binds a temporary name that is up to a pid longer than the socket's own.
_SOCKET_PATH_LIMIT = 90


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the data directory used when none is named.

    Parameters
    ----------
    environ
        Environment to read ``MISTUDIO_DATA_DIR`` from; the process's own by default.
    """
    named = (os.environ if environ is None else environ).get("MISTUDIO_DATA_DIR")
    if named:
        return written(named).absolute()
    return Path(platformdirs.user_data_dir("mistudio", appauthor=False))


@dataclass(frozen=True)
class Layout:
    """The files below one data directory.

    Parameters
    ----------
    root
        The data directory, as an absolute path with links resolved.
    """

    root: Path

    @classmethod
    def at(cls, data_dir: Path) -> Layout:
        """Return the layout of ``data_dir`` without touching the disk."""
        return cls(written(str(data_dir)).resolve())

    def create(self) -> Layout:
        """Create the directories that are missing and return the layout itself."""
        # Postgres runs as another user when we are root and must be able to pass through.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True, exist_ok=True)
                self.root.chmod(mode)
            for path in (self.run, self.secrets, self.logs, self.nats):
                path.mkdir(mode=0o700, exist_ok=True)
            for path in (self.models, self.datasets, self.activations, self.imports):
                path.mkdir(exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data directory {self.root} cannot be written: {error.strerror}.",
                remedy="Name another with --data-dir or MISTUDIO_DATA_DIR.",
            ) from error
        return self

    @property
    def run(self) -> Path:
        """What belongs to a running stack: configuration, lock, process ids."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """Generated passwords and keys."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """One log a program."""
        return self.root / "logs"

    @property
    def nats(self) -> Path:
        """JetStream's store."""
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        """The database, unless its user cannot reach this place."""
        return self.root / "postgres"

    @property
    def models(self) -> Path:
        """Prepared model artifacts."""
        return self.root / "models"

    @property
    def datasets(self) -> Path:
        """Uploaded and downloaded datasets."""
        return self.root / "datasets"

    @property
    def activations(self) -> Path:
        """The activation store."""
        return self.root / "activations"

    @property
    def scratch(self) -> Path:
        """Shards on their way into a bucket."""
        return self.root / "scratch"

    @property
    def imports(self) -> Path:
        """The root that local models and datasets may be read from by default."""
        return self.root / "imports"

    @property
    def lock(self) -> Path:
        """Locked for as long as a supervisor lives."""
        return self.run / "lock"

    @property
    def pid_file(self) -> Path:
        """The supervisor's process id."""
        return self.run / "supervisord.pid"

    @property
    def connection(self) -> Path:
        """How a client reaches the running stack."""
        return self.root / "connection.json"

    @property
    def settings(self) -> Path:
        """Choices that outlive a run, such as the allowed roots."""
        return self.root / "settings.json"

    @property
    def ports(self) -> Path:
        """The ports of the last run."""
        return self.root / "ports.json"

    def device_id_of(self, extractor: str) -> Path:
        """Return the file with the identity of an extractor's device, the same after each start."""
        return self.root / f"device-id{extractor.removeprefix('extractor')}"

    def log(self, name: str) -> Path:
        """Return the log file of one program."""
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> str:
        """Return the generated secret ``name``, creating it the first time."""
        return read_or_create(self.secrets / name, secrets.token_urlsafe(32))

    @property
    def instance_id(self) -> str:
        """What marks each process of this stack.

        It joins a random part kept in the directory with a hash of the path, so that neither a
        copied directory nor a new one at the same path is taken for this stack.
        """
        stored = read_or_create(self.root / "instance-id", uuid.uuid4().hex[:16])
        return f"{stored}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]}"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's control socket, in a shorter place when the path is too long."""
        usual = self.run / "supervisor.sock"
        if len(os.fsencode(usual)) <= _SOCKET_PATH_LIMIT:
            return usual
        name = f"mistudio-{os.geteuid()}-{self.instance_id}"
        return Path(tempfile.gettempdir()) / name / "s.sock"

    def open_socket_directory(self) -> None:
        """Create the directory of the control socket where it is not the usual one."""
        path = self.supervisor_socket.parent
        if path == self.run:
            return
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        # The directory for temporary files is everybody's: there may be a trap in our place.
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if not mine or stat.S_IMODE(found.st_mode) & 0o077:
            raise StackError(
                f"{path} exists and is not a private directory of this user.",
                remedy=f"Remove {path}, or choose a shorter --data-dir.",
            )

    def close_socket_directory(self) -> None:
        """Remove the control socket, and its directory where it is not the usual one."""
        socket = self.supervisor_socket
        socket.unlink(missing_ok=True)
        if socket.parent != self.run and socket.parent.exists():
            socket.parent.rmdir()
