"""A stack of stand-in services starts, heals, stops, and recovers from any death."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import jwt
import psutil
import pytest

from mistudio_client.embedded import (
    AlreadyRunning,
    EmbeddedStack,
    NotRunning,
    PortTaken,
    StackError,
    StartFailed,
    control,
    read_connection,
)
from mistudio_client.embedded.processes import instance_processes, is_alive, wait_until
from mistudio_client.embedded.servers import NatsServer, PostgresServer

from .conftest import AWKWARD, STANDIN, MakeStack, left_running, standins

SERVICES = {"catalog", "loader", "extractor", "gateway"}


def ready(stack: EmbeddedStack) -> bool:
    host, _, port = stack.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def variables(stack: EmbeddedStack, service: str) -> set[str]:
    """Names of the environment variables that a stand-in said it has."""
    first = stack.log(service).splitlines()[0]
    return set(first.split()[1:])


class TestStart:
    def test_returns_when_everything_is_ready(self, stack: EmbeddedStack) -> None:
        assert ready(stack)
        found = control.status(stack.layout)
        assert found.ready
        assert {service.name for service in found.services} == SERVICES | {"nats", "postgres"}

    def test_writes_how_to_reach_it_for_the_owner_only(self, stack: EmbeddedStack) -> None:
        connection = read_connection(stack.layout.root)
        assert connection is not None
        assert (connection.url, connection.token) == (stack.url, stack.token)
        assert connection.nats_url == stack.nats_url
        assert connection.database_url == stack.database_url
        assert connection.pids["gateway"] == stack.pid("gateway")
        assert connection.pids["supervisor"] == stack.pid("supervisor")
        assert stat.S_IMODE(stack.layout.connection.stat().st_mode) == 0o600

    def test_keeps_every_secret_to_the_owner(self, stack: EmbeddedStack) -> None:
        secrets = [
            *stack.layout.secrets.iterdir(),
            *(path for path in stack.layout.run.iterdir() if path.is_file()),
        ]
        readable = [path for path in secrets if path.stat().st_mode & 0o077]
        # The supervisor's own process id is no secret.
        assert {path.name for path in readable} <= {"supervisord.pid", "nats.pid"}
        passwords = [path.read_text().strip() for path in stack.layout.secrets.iterdir()]
        commands = [part for p in left_running(stack.layout) for part in p.cmdline()]
        assert passwords
        assert commands
        assert not [word for word in passwords for part in commands if word in part]

    @pytest.mark.nightly("a stack of its own")
    def test_signs_its_token_with_the_secret_of_the_services(self, make_stack: MakeStack) -> None:
        with make_stack(env={"JWT_SECRET_KEY": "k" * 32}, services=["gateway"]) as stack:
            claims = jwt.decode(
                stack.token, "k" * 32, ["HS256"], audience="mistudio", issuer="mistudio"
            )
        assert claims["scopes"] == ["model:read", "model:write", "model:admin"]

    def test_tells_each_service_what_it_needs_and_no_more(self, stack: EmbeddedStack) -> None:
        told = {name: variables(stack, name) for name in SERVICES}
        expected = {
            "GPU_MEMORY_LIMIT_GB", "MISTUDIO_EXTRA", "NATS_URL", "MISTUDIO_POOL",
            "MODEL_CACHE_DIR", "DATASET_CACHE_DIR", "ACTIVATION_CACHE_DIR", "LOCAL_ROOTS",
            "HEALTH_HOST", "HEALTH_PORT", "GATEWAY_HOST", "GATEWAY_PORT", "LOG_LEVEL",
            "MISTUDIO_INSTANCE",
        }  # fmt: skip
        for name in SERVICES:
            assert expected <= told[name], name
        assert [name for name in SERVICES if "DATABASE_URL" in told[name]] == ["catalog"]
        for secret, service in (
            ("AWS_SECRET_ACCESS_KEY", "extractor"),
            ("JWT_SECRET_KEY", "gateway"),
            ("HUGGINGFACE_TOKEN", "loader"),
        ):
            assert [name for name in SERVICES if secret in told[name]] == [service]
        assert [name for name in SERVICES if "DEVICE_ID_FILE" in told[name]] == ["extractor"]

    def test_runs_several_extractors_and_lets_others_join(self, make_stack: MakeStack) -> None:
        given = {"MISTUDIO_DEVICE": "cpu"}
        with make_stack(
            services=["extractor"], extractors=3, bus_host="127.0.0.2", env=given
        ) as stack:
            names = {each.name for each in control.status(stack.layout).services if each.ready}
            told = variables(stack, "extractor-3")
            bus = urlsplit(stack.nats_url)
            assert bus.port is not None
            socket.create_connection(("127.0.0.2", bus.port)).close()
        assert names == {"extractor", "extractor-2", "extractor-3", "nats", "postgres"}
        assert {"DEVICE_ID_FILE", "GPU_MEMORY_LIMIT_GB"} <= told
        assert bus.hostname == "127.0.0.2"

    def test_keeps_ports_passwords_and_allowed_roots_from_run_to_run(
        self, make_stack: MakeStack, open_directory: Path
    ) -> None:
        def addresses(stack: EmbeddedStack) -> tuple[str, str, str]:
            return stack.url, stack.nats_url, stack.database_url

        with make_stack(services=["gateway"], allow=[open_directory]) as stack:
            first = addresses(stack)
        with make_stack(services=["gateway"]) as stack:
            assert addresses(stack) == first
            roots = json.loads(stack.layout.settings.read_text())["local_roots"]
        assert roots == [str(stack.layout.imports), str(open_directory)]

    @pytest.mark.nightly("a stack of its own")
    def test_uses_the_servers_that_the_environment_names(
        self, make_stack: MakeStack, open_directory: Path
    ) -> None:
        elsewhere = open_directory / "elsewhere"
        with NatsServer(elsewhere) as bus, PostgresServer(elsewhere) as database:
            env = {"NATS_URL": bus.url, "DATABASE_URL": database.url}
            with make_stack(env=env) as stack:
                assert (stack.nats_url, stack.database_url) == (bus.url, database.url)
                names = {service.name for service in control.status(stack.layout).services}
            assert names == SERVICES
            assert bus.is_ready()
            assert database.is_ready()
        database.remove()

    def test_runs_the_setup_steps_with_the_servers_addresses(self, stack: EmbeddedStack) -> None:
        assert stack.log("step").split() == [stack.database_url, stack.nats_url]

    def test_works_below_any_path(self, stack: EmbeddedStack) -> None:
        assert stack.layout.root.name == AWKWARD
        assert ready(stack)
        assert stack.layout.supervisor_socket.parent == stack.layout.run

    @pytest.mark.nightly("a stack of its own")
    def test_works_below_a_path_that_is_too_long_for_a_socket(
        self, make_stack: MakeStack, data_dir: Path, request: pytest.FixtureRequest
    ) -> None:
        path = data_dir.parent / ("deep/" + "x" * 100)
        request.addfinalizer(PostgresServer(path).remove)
        with make_stack(data_dir=path, services=["gateway"]) as stack:
            socket_directory = stack.layout.supervisor_socket.parent
            assert ready(stack)
        assert socket_directory != stack.layout.run
        assert not socket_directory.exists()


class TestRefusal:
    @pytest.mark.nightly("a stack of its own")
    def test_a_second_stack_on_the_same_directory_is_told_where_the_first_is(
        self, make_stack: MakeStack
    ) -> None:
        with make_stack(services=["gateway"]) as stack:
            with pytest.raises(AlreadyRunning) as caught:
                make_stack().start()
            assert stack.url in caught.value.message
            assert f"pid {stack.supervisor_pid}" in caught.value.message
            assert "mistudio down" in (caught.value.remedy or "")
            assert ready(stack)

    def test_a_taken_port_is_refused_with_the_name_of_its_owner(
        self, make_stack: MakeStack
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            stack = make_stack(port=port)
            with pytest.raises(PortTaken) as caught:
                stack.start()
        assert f"Port {port}" in caught.value.message
        assert f"pid {os.getpid()}" in caught.value.message
        assert "--port 0" in (caught.value.remedy or "")
        assert left_running(stack.layout) == []

    def test_a_service_that_keeps_ending_fails_the_start_with_its_last_words(
        self, make_stack: MakeStack
    ) -> None:
        stack = make_stack(commands=standins(loader=["--crash"]))
        with pytest.raises(StartFailed, match="loader keeps ending") as caught:
            stack.start()
        assert "the stand-in cannot work today" in caught.value.log
        assert left_running(stack.layout) == []

    def test_a_failed_setup_step_fails_the_start_with_its_output(
        self, make_stack: MakeStack
    ) -> None:
        step = [sys.executable, "-c", "raise SystemExit('no such revision')"]
        stack = make_stack(setup={"migrate": step})
        with pytest.raises(StartFailed, match="migrate failed with exit status 1") as caught:
            stack.start()
        assert "no such revision" in caught.value.log
        assert left_running(stack.layout) == []

    @pytest.mark.nightly("a stack of its own")
    def test_a_service_that_is_never_ready_fails_the_start_in_time(
        self, make_stack: MakeStack
    ) -> None:
        stack = make_stack(commands=standins(extractor=["--port-variable", "NOWHERE"]))
        with pytest.raises(StartFailed, match="extractor was not ready in time"):
            stack.start(timeout=8)
        assert left_running(stack.layout) == []

    def test_an_allowed_root_must_exist(self, make_stack: MakeStack, open_directory: Path) -> None:
        with pytest.raises(StackError, match="does not exist"):
            make_stack(allow=[open_directory / "missing"]).start()

    def test_a_stack_that_was_not_started_has_no_address(self, make_stack: MakeStack) -> None:
        with pytest.raises(NotRunning):
            _ = make_stack().url


class TestLife:
    @pytest.mark.parametrize("name", ["catalog", "nats", "postgres"])
    def test_a_killed_program_is_started_again(self, stack: EmbeddedStack, name: str) -> None:
        before = stack.pid(name)
        os.kill(before, signal.SIGKILL)

        def replaced() -> bool:
            state = {s.name: s for s in control.status(stack.layout).services}[name]
            return state.ready and state.pid not in {None, before}

        assert wait_until(replaced, 30)

    def test_a_service_can_be_restarted(self, stack: EmbeddedStack) -> None:
        before = stack.pid("loader")
        stack.restart("loader")
        assert stack.pid("loader") != before
        assert control.status(stack.layout).ready

    @pytest.mark.nightly("a stack of its own")
    def test_a_stop_leaves_nothing_and_forces_what_does_not_listen(
        self, make_stack: MakeStack
    ) -> None:
        stubborn = standins(extractor=["--ignore-term", "--child"], loader=["--ignore-term"])
        stack = make_stack(commands=stubborn).start()
        supervisor = psutil.Process(stack.supervisor_pid)
        stack.stop()
        assert left_running(stack.layout) == []
        assert not is_alive(supervisor)
        # Stopped by the supervisor in order, not swept up afterwards.
        assert "stopped: postgres" in stack.log("supervisord")

    def test_a_stopped_stack_can_be_stopped_again(self, make_stack: MakeStack) -> None:
        stack = make_stack(services=["gateway"]).start()
        stack.stop()
        assert read_connection(stack.layout.root) is None
        stack.stop()
        assert not control.status(stack.layout).running

    @pytest.mark.nightly("a stack of its own")
    async def test_the_next_start_recovers_from_a_killed_supervisor(
        self, make_stack: MakeStack
    ) -> None:
        stack = make_stack(commands=standins(extractor=["--ignore-term", "--child"])).start()
        connection = await asyncpg.connect(stack.database_url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
        orphans = instance_processes(stack.layout.instance_id)
        stubborn = [process for process in orphans if "--ignore-term" in process.cmdline()]
        assert len(stubborn) == 2
        os.kill(stack.supervisor_pid, signal.SIGKILL)
        assert all(is_alive(process) for process in stubborn)

        with make_stack() as recovered:
            assert not [process for process in orphans if is_alive(process)]
            connection = await asyncpg.connect(recovered.database_url)
            assert await connection.fetchval("SELECT answer FROM kept") == 42
            await connection.close()
        assert left_running(stack.layout) == []

    def test_the_end_of_a_killed_supervisors_stack_can_be_made_by_stop_alone(
        self, make_stack: MakeStack
    ) -> None:
        stack = make_stack(commands=standins(loader=["--ignore-term"])).start()
        os.kill(stack.supervisor_pid, signal.SIGKILL)
        stack.stop()
        assert left_running(stack.layout) == []

    @pytest.mark.nightly("a stack of its own")
    def test_a_stack_ends_with_the_killed_process_that_started_it(
        self, make_stack: MakeStack, data_dir: Path
    ) -> None:
        owner = subprocess.Popen(
            [sys.executable, str(STANDIN.with_name("owner.py")), str(data_dir)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == "ready"
        owner.kill()
        owner.wait()
        stack = make_stack()
        assert wait_until(lambda: left_running(stack.layout) == [], 30)
        with stack:
            assert ready(stack)

    @pytest.mark.nightly("a stack of its own")
    def test_a_detached_stack_outlives_the_process_that_started_it(
        self, make_stack: MakeStack, data_dir: Path
    ) -> None:
        subprocess.run(
            [sys.executable, str(STANDIN.with_name("owner.py")), str(data_dir), "--detach"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        layout = make_stack().layout
        assert control.status(layout).ready
        assert control.stop(layout)
        assert left_running(layout) == []
