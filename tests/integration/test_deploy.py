"""Every process of the compose file, from its own command, environment and files, without Docker.

What Docker would make of it is made here: names of containers become ports of this machine, volumes
become directories, and an image's variables and health check are read off the Dockerfile.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
import trustme
from nats.aio.client import Client
from nats.aio.msg import Msg

from mistudio_client.embedded.binaries import nats_server as nats_binary
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import wait_until
from mistudio_client.embedded.tokens import mint
from mistudio_contracts import sites, subjects
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.provision import provision
from mistudio_testkit.cable import Cable
from mistudio_testkit.composed import ROOT, Images, Service, resolved, secrets
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.servers import postgres_server
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

PATIENCE = 60.0
SERVICES = ("catalog", "loader", "extractor", "gateway")
ELSEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"}
"""Read by libraries and by the kit before there are settings."""

TinyModel = Callable[[str], Path]


class Deployment:
    """Starts services of the compose file below a directory of the test's own.

    Parameters
    ----------
    services
        As Docker Compose resolves them.
    home
        Where volumes, logs and ports are.
    """

    def __init__(self, services: Mapping[str, Service], home: Path) -> None:
        self.services = services
        self.home = home
        self.data = home / "data"
        self.images = Images()
        self._book = PortBook(home / "ports.json")
        self._replaced = {"/data": str(self.data)}
        self._running = ExitStack()
        for name in ("models", "datasets", "activations", "scratch"):
            (self.data / name).mkdir(parents=True)

    def close(self) -> None:
        self._running.close()

    def start_bus(
        self,
        *,
        certificates: Path | None = None,
        also: Path | None = None,
        lines: Mapping[str, str] | None = None,
    ) -> int:
        """Run NATS with the file that its command names, whose paths and ports become others.

        Parameters
        ----------
        certificates
            Where those of the configuration are.
        also
            A file beside those of the image.
        lines
            Lines of the files that become others.

        Returns
        -------
        int
            The port of clients.
        """
        files = self.home / "nats"
        shutil.copytree(ROOT / "infra/nats", files)
        if also is not None:
            shutil.copy(also, files)
        for file in files.glob("*.conf"):
            text = re.sub(r"store_dir: \S+", f"store_dir: {files}/store", file.read_text("utf-8"))
            for old, new in {"/etc/nats/certs": str(certificates), **(lines or {})}.items():
                text = text.replace(old, new)
            file.write_text(text, "utf-8")
        port, pages = self._book.claim("nats"), self._book.claim("pages")
        flag, config = self.services["nats"]["command"]
        config = config.replace("/etc/nats", str(files))
        # Options of the command go before what its file says.
        ports = ["--port", str(port), "--http_port", str(pages)]
        self._run("nats", [str(nats_binary()), flag, config, *ports], self._environment("nats"))
        check = self.services["nats"]["healthcheck"]["test"][1:]
        assert check == self.images.health_check("nats")
        self._wait("nats", [each.replace(":8222", f":{pages}") for each in check])
        self._replaced["@nats:4222"] = f"@127.0.0.1:{port}"
        return port

    def start_database(self) -> None:
        """Run Postgres, from a package: its image's own start is not ours to try."""
        url = self._running.enter_context(postgres_server(self.home / "postgres"))
        self._replaced[self.services["catalog"]["environment"]["DATABASE_URL"]] = url

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Run the service that the others wait for, and return how it ended."""
        shell, flag, script = self.services["setup"]["command"]
        script = script.replace("python ", f"{shlex.quote(sys.executable)} ")
        return subprocess.run(
            [shell, flag, script],
            env=self._environment("setup"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, name: str, **over: str) -> int:
        """Start a service, and return the port of its pages once its image's check passes."""
        port = self._book.claim(name)
        env = self._environment(name, **over)
        own = "GATEWAY_PORT" if name == "gateway" else "HEALTH_PORT"
        env[own] = str(port)
        program, *arguments = self.services[name]["command"]
        assert program == "python"
        self._run(name, [sys.executable, *arguments], env)
        stage = self.services[name]["build"]["target"]
        self._wait(name, self.images.health_check(stage), env)
        return port

    def _environment(self, name: str, **over: str) -> dict[str, str]:
        """Return what a container would see, with this machine's paths and ports."""
        service = self.services[name]
        image = self.images.env(service["build"]["target"])
        found = {key: value for key, value in image.items() if key not in ("PATH", "WEB_DIR")}
        for key, value in {**found, **service.get("environment", {}), **over}.items():
            for old, new in self._replaced.items():
                value = value.replace(old, new)
            found[key] = value
        return {**os.environ, **found}

    def _run(self, name: str, argv: list[str], env: Mapping[str, str]) -> None:
        self._running.enter_context(_process(argv, env, self._log(name)))

    def _wait(self, name: str, check: list[str], env: Mapping[str, str] | None = None) -> None:
        if check[0] == "python":
            script = check[1].replace("/opt/mistudio/", f"{ROOT}/deploy/images/")
            check = [sys.executable, script, *check[2:]]

        def passes() -> bool:
            if check[0] == "wget":
                return _answers(check[-1])
            return subprocess.run(check, env=env, capture_output=True).returncode == 0

        assert wait_until(passes, PATIENCE, poll=0.2), self._log(name).read_text()

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"


def _answers(url: str) -> bool:
    """Tell what wget would, which not every machine has."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


@contextmanager
def _process(argv: list[str], env: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        running = subprocess.Popen(
            argv, env=dict(env), cwd=log.parent, stdout=output, stderr=output
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
def deployment(home: Path, environ: Mapping[str, str], *over: str) -> Iterator[Deployment]:
    started = Deployment(resolved(environ, "cpu", over=over), home)
    try:
        yield started
    finally:
        started.close()


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
    composed, images = resolved(secrets(), "cpu"), Images()
    read_by_images: set[str] = set()
    for service, settings in readers.items():
        known = {
            str(field.validation_alias or name).upper()
            for name, field in settings.model_fields.items()
        }
        assert set(composed[service]["environment"]) <= known | ELSEWHERE, service
        read_by_images |= known
    for stage in ("control", "cpu", "cuda", "jetson"):
        ours = {key for key in images.env(stage) if not key.startswith("NVIDIA_")}
        assert ours <= read_by_images | {"PATH", "PYTHONUNBUFFERED"}, stage


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[Site]:
    """The profile ``cpu``, each service as a bus user of its own."""
    environ = secrets()
    with deployment(tmp_path_factory.mktemp("deployed"), environ) as started:
        started.start_bus()
        started.start_database()
        done = started.set_up()
        assert done.returncode == 0, done.stdout + done.stderr
        ports = {name: started.start(name, LOCAL_ROOTS=str(models_root)) for name in SERVICES}
        token = mint(
            environ["JWT_SECRET_KEY"],
            subject="t",
            scopes=["model:read", "model:write", "model:admin"],
            expires=timedelta(hours=1),
        )
        site = Site(f"http://127.0.0.1:{ports['gateway']}", token)
        yield site
        site.close()


@pytest.mark.nightly("a stack of its own, from the deployed files")
def test_services_with_least_rights_on_the_bus_go_the_whole_way(
    deployed: Site, tiny_model: TinyModel, tmp_path: Path
) -> None:
    site = deployed
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


async def test_a_bus_that_speaks_tls_is_joined_by_who_trusts_it_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    certificates, authority, stranger = tmp_path / "certificates", trustme.CA(), trustme.CA()
    certificates.mkdir()
    issued = authority.issue_cert("127.0.0.1", "nats")
    issued.cert_chain_pems[0].write_to_path(certificates / "server.pem")
    issued.private_key_pem.write_to_path(certificates / "server-key.pem")
    authority.cert_pem.write_to_path(certificates / "trust.pem")
    environ = {**secrets(), "NATS_CERTS": str(certificates)}
    with deployment(tmp_path / "deployed", environ, "deploy/compose/tls.yaml") as started:
        port = started.start_bus(certificates=certificates)
        setup = started.services["setup"]
        setup["environment"]["SSL_CERT_FILE"] = str(certificates / "trust.pem")
        setup["command"][2] = setup["command"][2].split("&&")[1]
        done = started.set_up()
        assert done.returncode == 0, done.stdout + done.stderr
        distrust = ssl.create_default_context()
        stranger.configure_trust(distrust)
        with pytest.raises((ssl.SSLError, nats.errors.Error)):
            await nats.connect(
                setup["environment"]["NATS_URL"].replace("@nats:4222", f"@127.0.0.1:{port}"),
                tls=distrust,
                allow_reconnect=False,
            )


async def test_a_site_and_its_edge_move_orders_and_reports_between_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """NATS of both from the deployed files, each provisioned as its part; their link is cut."""
    environ = {**secrets(), "MISTUDIO_EDGE": "jetson"}
    leaf = PortBook(tmp_path / "ports.json").claim("leaf")
    over = "deploy/compose/centre.yaml"
    with (
        deployment(tmp_path / "centre", environ, over) as centre,
        deployment(tmp_path / "edge", environ) as edge,
        Cable(leaf) as cable,
    ):
        assert centre.services["catalog"]["environment"]["MISTUDIO_EDGE"] == "jetson"
        centre_port = centre.start_bus(lines={"port: 7422": f"port: {leaf}"})
        password = environ["NATS_EDGE_PASSWORD"]
        address = json.dumps(f"nats-leaf://edge:{password}@127.0.0.1:{cable.port}")
        edge.services["nats"]["command"] = ["-c", "/etc/nats/leaf.conf"]
        edge.services["nats"]["environment"]["MISTUDIO_CENTRE_URL"] = address
        edge_port = edge.start_bus(also=ROOT / "deploy/jetson/leaf.conf")
        edge.services["setup"]["environment"]["MISTUDIO_CENTRE"] = "centre"
        for deployed in (centre, edge):
            command = deployed.services["setup"]["command"]
            command[2] = command[2].split("&&")[1]
            done = deployed.set_up()
            assert done.returncode == 0, done.stdout + done.stderr

        def address_of(user: str, port: int) -> str:
            return f"nats://{user}:{environ[f'NATS_{user.upper()}_PASSWORD']}@127.0.0.1:{port}"

        with caplog.at_level(logging.INFO):
            for port, site in (
                (centre_port, sites.Site(edge="jetson")),
                (edge_port, sites.Site(centre=sites.CENTRE)),
            ):
                await provision(address_of("provision", port), ["default"], site)
        assert "the stream" not in caplog.text, "once more changes nothing"
        catalog = await nats.connect(
            address_of("catalog", centre_port), inbox_prefix="_INBOX_catalog"
        )
        extractor = await nats.connect(
            address_of("extractor", edge_port), inbox_prefix="_INBOX_extractor"
        )
        order, report = subjects.WORK_SHARD, subjects.REPORT_SHARD
        for number in range(6):
            if number == 2:
                cable.cut()
            await catalog.jetstream().publish(order.name(), b"order %d" % number, stream="WORK")
            told = extractor.jetstream().publish(
                report.name(), b"report %d" % number, stream="REPORTS"
            )
            assert (await told).stream == "REPORTS", "kept here, whether there is a link or not"
        cable.join()
        for number in range(6):
            taken = await pulled(extractor, order)
            assert taken.data == b"order %d" % number
            await taken.ack_sync()
            heard = await pulled(catalog, report)
            assert heard.data == b"report %d" % number
            await heard.ack_sync()
        # The catalog may look whether the edge has anything left, and so give nothing twice.
        there = catalog.jetstream(domain="jetson")
        assert (await there.consumer_info("WORK", order.durable())).num_pending == 0
        assert (await there.stream_info("REPORTS")).config.name == "REPORTS"
        for client in (catalog, extractor):
            await client.close()


async def pulled(client: Client, subject: Subject) -> Msg:
    """Return the next message of a durable consumer, however long it takes to come here."""
    inbox = client.new_inbox()
    waiting = await client.subscribe(inbox)
    request = json.dumps({"batch": 1, "expires": int(PATIENCE * 1e9)}).encode()
    ask = f"$JS.API.CONSUMER.MSG.NEXT.{subject.stream}.{subject.durable()}"
    await client.publish(ask, request, reply=inbox)
    return await waiting.next_msg(PATIENCE)
