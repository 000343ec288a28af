"""What is deployed: the NATS files loaded by a real server, compose's commands as processes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from mistudio_client.embedded.binaries import nats_server as nats_binary
from mistudio_client.embedded.health import http_ok
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import wait_until
from mistudio_client.embedded.tokens import mint
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.servers import postgres_server
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
SECRET = "s" * 64
USERS = ("catalog", "loader", "extractor", "gateway", "provision", "client")
PASSWORDS = {f"NATS_{user.upper()}_PASSWORD": f"p-{user}" for user in USERS}
PATIENCE = 60.0

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
"""With its anchors merged; what stands for ``${…}`` is left as it is."""

TinyModel = Callable[[str], Path]


def command_of(service: str) -> list[str]:
    """Return the program and arguments of a compose service, run by this Python."""
    return [sys.executable if part == "python" else part for part in compose(service)["command"]]


def compose(service: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][service]
    return found


@contextmanager
def process(argv: list[str], env: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        running = subprocess.Popen(
            argv, env={**os.environ, **env}, cwd=log.parent, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                raise


@contextmanager
def deployed_nats(config: str, env: Mapping[str, str], home: Path) -> Iterator[int]:
    """Run a deployed configuration on free ports and yield the port of clients.

    Only its directory, which an ordinary user may not write, is another; the server takes no
    option for what its file sets.
    """
    shutil.copytree(ROOT / "infra/nats", home)
    text = (home / config).read_text("utf-8")
    assert text.count("store_dir: /data") == 1
    store = json.dumps(str(home / "store"), ensure_ascii=False)
    (home / config).write_text(text.replace("store_dir: /data", f"store_dir: {store}"), "utf-8")
    book = PortBook(home / "ports.json")
    port, pages = book.claim("nats"), book.claim("pages")
    argv = [str(nats_binary()), "-c", str(home / config), "-p", str(port), "-m", str(pages)]
    log = home / "nats.log"
    with process(argv, env, log):
        ready = wait_until(lambda: http_ok(pages, "/healthz?js-enabled-only=true"), PATIENCE)
        assert ready, log.read_text()
        yield port


def test_the_server_of_compose_takes_every_stream(tmp_path: Path) -> None:
    env = {"NATS_USER": "mistudio", "NATS_PASSWORD": "p-compose"}
    with deployed_nats("compose.conf", env, tmp_path / "nats") as port:
        ran = subprocess.run(
            [sys.executable, "-m", "mistudio_servicekit", "provision"],
            env={**os.environ, "NATS_URL": f"nats://mistudio:p-compose@127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_compose_sets_is_what_the_services_read() -> None:
    from mistudio_catalog.config import CatalogSettings
    from mistudio_extractor.config import ExtractorSettings
    from mistudio_gateway.config import GatewaySettings
    from mistudio_loader.config import LoaderSettings
    from mistudio_servicekit.settings import ServiceSettings

    readers: dict[str, type[ServiceSettings]] = {
        "catalog": CatalogSettings,
        "loader": LoaderSettings,
        "extractor": ExtractorSettings,
        "gateway": GatewaySettings,
    }
    for service, settings in readers.items():
        known = {
            str(field.validation_alias or name).upper()
            for name, field in settings.model_fields.items()
        }
        assert set(compose(service)["environment"]) <= known, service


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[Site]:
    """The compose file's commands against nats-server.conf, each service as its own bus user."""
    home = tmp_path_factory.mktemp("deployed")
    data = home / "data"
    book = PortBook(home / "ports.json")
    ports = {name: book.claim(name) for name in ("catalog", "loader", "extractor", "gateway")}
    with ExitStack() as stack:
        nats = stack.enter_context(deployed_nats("nats-server.conf", PASSWORDS, home / "nats"))
        database = stack.enter_context(postgres_server(home / "postgres"))

        def env(user: str) -> dict[str, str]:
            directories = ("models", "datasets", "activations")
            places = zip(("MODEL", "DATASET", "ACTIVATION"), directories, strict=True)
            found = {f"{kind}_CACHE_DIR": str(data / name) for kind, name in places}
            found |= {
                "NATS_URL": f"nats://{user}:p-{user}@127.0.0.1:{nats}",
                "HEALTH_PORT": "0" if user == "gateway" else str(ports.get(user, 0)),
                "LOCAL_ROOTS": str(models_root),
                "DEVICE_ID_FILE": str(data / "device-id"),
            }
            if user in ("catalog", "provision"):
                found["DATABASE_URL"] = database
            if user == "gateway":
                found |= {"GATEWAY_PORT": str(ports["gateway"]), "JWT_SECRET_KEY": SECRET}
            return found

        for name in ("models", "datasets", "activations"):
            (data / name).mkdir(parents=True)
        shell, flag, script = compose("setup")["command"]
        script = script.replace("python ", f"{shlex.quote(sys.executable)} ")
        done = subprocess.run(
            [shell, flag, script],
            env={**os.environ, **env("provision")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for service, port in ports.items():
            log = home / f"{service}.log"
            stack.enter_context(process(command_of(service), env(service), log))
            assert wait_until(lambda p=port: http_ok(p, "/health/ready"), PATIENCE), (  # type: ignore[misc]
                log.read_text()
            )
        everything = ["model:read", "model:write", "model:admin"]
        token = mint(SECRET, subject="t", scopes=everything, expires=timedelta(hours=1))
        site = Site(f"http://127.0.0.1:{ports['gateway']}", token)
        yield site
        site.close()


def test_services_with_least_rights_on_the_bus_go_the_whole_way(
    separate: Site, tiny_model: TinyModel, tmp_path: Path
) -> None:
    site = separate
    model = site.ready_model(tiny_model("mistral"))
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(8)))
    assert dataset["status"] == "ready", dataset["error"]
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 3])
    assert done["status"] == "completed", done["error"]
    with site.frames() as frames:
        site.ask("DELETE", f"/activations/{done['cache_id']}", 204)
        frames.until("cache:evicted", cache_id=done["cache_id"])
        site.ask("POST", f"/models/{model['id']}/unload")
        frames.until("model:unloaded", model_id=model["id"])
        site.ask("DELETE", f"/models/{model['id']}", 204)
        frames.until("model:deleted", model_id=model["id"])
    assert json.loads(site.http.get("/health/ready").text)
