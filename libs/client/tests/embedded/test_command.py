"""The commands as a user types them, in processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jwt
import psutil
import pytest

from mistudio_client.embedded import Layout, control, read_connection
from mistudio_client.embedded.processes import is_alive, wait_until

from .conftest import left_running

COMMAND = Path(__file__).with_name("command.py")
UNSET = {"NATS_URL", "DATABASE_URL", "JWT_SECRET_KEY", "MISTUDIO_DATA_DIR"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Begin = Callable[..., "subprocess.Popen[str]"]


def environment(data_dir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "MISTUDIO_DATA_DIR": str(data_dir), "COLUMNS": "200", **(extra or {})}


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(COMMAND), *arguments]


@pytest.fixture
def run(data_dir: Path) -> Run:
    """Run a command to its end."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env=environment(data_dir),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


@pytest.fixture
def begin(data_dir: Path) -> Iterator[Begin]:
    """Start ``mistudio up`` in the foreground and return it when the stack is ready."""
    begun: list[subprocess.Popen[str]] = []

    def call(*arguments: str, flags: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command("up", "--port", "0", *arguments),
            env=environment(data_dir, {"STANDIN_FLAGS": flags}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("open "):
                break
        return process

    yield call
    for process in begun:
        process.kill()
        process.wait()


class TestForeground:
    @pytest.mark.parametrize(
        "number",
        [
            signal.SIGINT,
            pytest.param(signal.SIGTERM, marks=pytest.mark.nightly("a stack of its own")),
            pytest.param(signal.SIGHUP, marks=pytest.mark.nightly("a stack of its own")),
        ],
    )
    def test_it_shows_the_logs_with_names_and_a_signal_ends_it_cleanly(
        self, begin: Begin, data_dir: Path, number: signal.Signals
    ) -> None:
        process = begin()
        connection = read_connection(data_dir)
        assert connection is not None
        os.kill(connection.pids["loader"], signal.SIGKILL)
        assert process.stdout is not None
        shown = next(line for line in process.stdout if "listening" in line)
        assert shown.startswith("loader ")
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0, output
        assert "Stopped." in output
        assert left_running(Layout.at(data_dir)) == []

    @pytest.mark.nightly("a stack of its own")
    def test_it_ends_in_ten_seconds_though_a_service_does_not_listen(
        self, begin: Begin, data_dir: Path
    ) -> None:
        process = begin(flags="--ignore-term")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 0
        assert left_running(Layout.at(data_dir)) == []

    @pytest.mark.nightly("a stack of its own")
    def test_a_second_interrupt_kills(self, begin: Begin, data_dir: Path) -> None:
        process = begin(flags="--ignore-term")
        layout = Layout.at(data_dir)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Stopping"):
                break
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0, output
        assert "killing" not in layout.log("supervisord").read_text()
        assert left_running(layout) == []

    def test_it_says_so_when_the_supervisor_was_killed_and_tidies_up(
        self, begin: Begin, data_dir: Path
    ) -> None:
        process = begin()
        connection = read_connection(data_dir)
        assert connection is not None
        os.kill(connection.pids["supervisor"], signal.SIGKILL)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "ended unexpectedly" in output
        assert left_running(Layout.at(data_dir)) == []

    @pytest.mark.nightly("a stack of its own")
    def test_down_from_elsewhere_ends_it(self, begin: Begin, run: Run, data_dir: Path) -> None:
        process = begin()
        assert run("down").returncode == 0
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert left_running(Layout.at(data_dir)) == []

    @pytest.mark.nightly("a stack of its own")
    def test_killed_itself_it_leaves_nothing_to_the_next(
        self, begin: Begin, run: Run, data_dir: Path
    ) -> None:
        process = begin(flags="--ignore-term")
        process.kill()
        layout = Layout.at(data_dir)
        assert wait_until(lambda: control.running_supervisor(layout) is None, 30)
        begin()
        assert run("status").returncode == 0


class TestDetached:
    def test_up_status_logs_token_down(self, run: Run, data_dir: Path) -> None:
        started = run("up", "-d", "--port", "0", "--json")
        assert started.returncode == 0, started.stderr
        connection = json.loads(started.stdout)
        host, port = connection["url"].removeprefix("http://").split(":")
        probe = http.client.HTTPConnection(host, int(port), timeout=5)
        probe.request("GET", "/health/ready")
        assert probe.getresponse().status == 200
        probe.close()

        found = run("status", "--json")
        assert found.returncode == 0
        status = json.loads(found.stdout)
        assert {service["name"] for service in status["services"]} == {
            "gateway", "loader", "nats", "postgres",
        }  # fmt: skip
        assert all(
            service["ready"] and service["uptime_seconds"] >= 0 for service in status["services"]
        )
        assert "running" in run("status").stdout

        loader = psutil.Process(connection["pids"]["loader"])
        # Stopped, it holds its port but answers nothing.
        loader.suspend()
        assert run("status").returncode == 4
        loader.resume()

        assert "listening" in run("logs", "loader").stdout
        assert "nats       | " in run("logs").stdout
        unknown = run("logs", "nobody")
        assert unknown.returncode == 2
        assert "loader" in unknown.stderr

        minted = run("token", "--scope", "model:read", "--expires", "1h", "--subject", "ada")
        secret = (data_dir / "secrets" / "jwt-secret").read_text().strip()
        claims = jwt.decode(minted.stdout.strip(), secret, ["HS256"], audience="mistudio")
        assert (claims["sub"], claims["scopes"]) == ("ada", ["model:read"])
        assert claims["exp"] - claims["iat"] == 3600

        again = run("up", "--port", "0")
        assert again.returncode == 1
        assert f"already running at {connection['url']}, pid {status['pid']}" in again.stderr
        assert "mistudio status" in again.stderr

        assert run("down").returncode == 0
        assert left_running(Layout.at(data_dir)) == []
        assert run("status").returncode == 3
        assert run("down").returncode == 0

    def test_a_taken_port_is_named_with_its_remedy(self, run: Run) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            refused = run("up", "--port", str(port))
        assert refused.returncode == 1
        assert f"Port {port} on 127.0.0.1 is in use by" in refused.stderr
        assert "--port 0" in refused.stderr

    @pytest.mark.parametrize(
        "arguments",
        [["token", "--expires", "soon"], ["token", "--scope", "root"], ["up", "--port", "x"]],
    )
    def test_wrong_usage_is_exit_status_2(self, run: Run, arguments: list[str]) -> None:
        assert run(*arguments).returncode == 2

    def test_a_token_needs_a_stack_or_a_secret(self, run: Run) -> None:
        refused = run("token")
        assert refused.returncode == 1
        assert "mistudio up" in refused.stderr


@pytest.mark.nightly("int8 and int4 in processes of their own")
def test_doctor_names_each_check_and_its_remedy(run: Run) -> None:
    done = run("doctor", "--json", "--port", "0")
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert set(found) == {
        "python", "system", "torch", "formats", "nats", "postgres", "user", "data directory",
        "disk", "bucket", "memory", "port",
    }  # fmt: skip
    assert found["formats"]["detail"] == "int8 and int4 run"
    failed = [finding for finding in found.values() if finding["level"] == "fail"]
    assert done.returncode == (1 if failed else 0)
    assert all(finding["remedy"] for finding in found.values() if finding["level"] != "ok")


def ordinary_interpreter(as_user: Mapping[str, object]) -> Sequence[str] | None:
    """An interpreter of our version that the ordinary user can run with our packages."""
    version = ".".join(map(str, sys.version_info[:2]))
    for candidate in (
        sys.executable,
        shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin"),
    ):
        if candidate is None:
            continue
        try:
            done = subprocess.run(
                [candidate, "-c", "import ctypes, ssl"],
                check=False,
                capture_output=True,
                **as_user,  # type: ignore[call-overload]
            )
        except PermissionError:
            continue
        if done.returncode == 0:
            return [candidate]
    return None


def test_an_ordinary_user_runs_the_whole_stack(open_directory: Path) -> None:
    home = open_directory / "home"
    home.mkdir(mode=0o700)
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        os.chown(home, entry.pw_uid, entry.pw_gid)
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    interpreter = ordinary_interpreter(as_user)
    if interpreter is None:
        pytest.skip("no interpreter of this version can be run by an ordinary user")
    env = environment(home / "data") | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [*interpreter, str(COMMAND), *arguments],
            env=env,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **as_user,
        )

    try:
        started = run("up", "-d", "--port", "0", "--json")
        assert started.returncode == 0, started.stderr
        pids = json.loads(started.stdout)["pids"]
        processes = [psutil.Process(pid) for pid in pids.values()]
        assert {process.uids().real for process in processes} == {home.stat().st_uid}
        assert run("status").returncode == 0
    finally:
        stopped = run("down")
    assert stopped.returncode == 0, stopped.stderr
    assert not [process for process in processes if is_alive(process)]
