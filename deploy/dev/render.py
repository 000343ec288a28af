"""Render contracts/, infra/nats, infra/grafana and pages of docs/ from the code.

The AsyncAPI document is FastStream's, from the subscribers and publishers that the services
register; stream, durable and delivery, which FastStream leaves out, are added from the topology.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dashboards import dashboards
from fastapi import FastAPI
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from internals import page as internals_page
from metering import page as metrics_page
from security import page as with_rendered_blocks

from mistudio_activations import MANIFEST_SCHEMA
from mistudio_contracts import CONTRACT_VERSION, subjects, topology
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.schemas import breaking_changes, frames_schema, payload_schemas
from mistudio_servicekit.metering import Declared
from mistudio_servicekit.telemetry import metrics_of

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
RELEASED = CONTRACTS / "released.json"
POOL = "default"


def brokers(scratch: Path) -> dict[str, NatsBroker]:
    """Return each service's broker with everything registered and nothing connected."""
    from mistudio_catalog.config import CatalogSettings
    from mistudio_catalog.factory import create_app as catalog
    from mistudio_extractor.config import ExtractorSettings
    from mistudio_extractor.factory import create_app as extractor
    from mistudio_loader.config import LoaderSettings
    from mistudio_loader.factory import create_app as loader

    models, datasets = scratch / "models", scratch / "datasets"
    on_device = ExtractorSettings(
        model_cache_dir=models,
        dataset_cache_dir=datasets,
        activation_cache_dir=scratch / "activations",
        device_id_file=scratch / "device-id",
    )
    on_disk = LoaderSettings(model_cache_dir=models, dataset_cache_dir=datasets)
    return {
        "catalog": catalog(CatalogSettings()).broker,
        "extractor": extractor(on_device).broker,
        "loader": loader(on_disk).broker,
    }


def gateway_app() -> FastAPI:
    """Return the gateway's application, connected to nothing."""
    from mistudio_gateway.config import GatewaySettings
    from mistudio_gateway.factory import create_app

    return create_app(GatewaySettings.ephemeral())


def declared_metrics(
    services: Mapping[str, NatsBroker], gateway: FastAPI
) -> dict[str, list[Declared]]:
    """Return what each service declares for Prometheus."""
    every = {**services, "gateway": gateway.state.gateway.broker}
    return {name: metrics_of(broker).meters.declared for name, broker in every.items()}


def asyncapi(services: Mapping[str, NatsBroker]) -> str:
    """Return one AsyncAPI 3 document over all services, as YAML."""
    merged: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "miStudio Model Management",
            "version": CONTRACT_VERSION,
            "description": "Commands, work orders, reports, events and requests on the bus.",
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {},
        "operations": {},
        "components": {"messages": {}, "schemas": {}},
    }
    by_name = {subject.name(POOL): subject for subject in subjects.ALL}
    for service, broker in services.items():
        document = json.loads(AsyncAPI(broker, title=service).to_specification().to_json())
        for name, channel in document.get("channels", {}).items():
            channel["servers"] = [{"$ref": "#/servers/nats"}]
            _annotate(channel, by_name)
            # One service publishes where another subscribes: both messages belong to the channel.
            known = merged["channels"].setdefault(name, channel)
            known["messages"].update(channel["messages"])
        for name, operation in document.get("operations", {}).items():
            merged["operations"][f"{service}.{name}"] = operation
        for kind in ("messages", "schemas"):
            merged["components"][kind].update(document.get("components", {}).get(kind, {}))
    for part in ("channels", "operations"):
        merged[part] = dict(sorted(merged[part].items()))
    for kind in ("messages", "schemas"):
        merged["components"][kind] = dict(sorted(merged["components"][kind].items()))
    return yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=100)


def _annotate(channel: dict[str, Any], by_name: dict[str, subjects.Subject]) -> None:
    subject = by_name.get(channel.get("address", ""))
    if subject is None:
        return
    channel["description"] = subject.summary
    channel["x-publisher"], channel["x-reader"] = subject.publisher, subject.reader
    if subject.stream is not None:
        channel["x-stream"] = subject.stream
    if subject.kind in (subjects.Kind.COMMAND, subjects.Kind.WORK, subjects.Kind.REPORT):
        channel["x-durable"] = subject.durable(POOL)


def subjects_page() -> str:
    """Return every subject as a readable page."""
    lines = [
        "# Subjects",
        "",
        "Generated from `libs/contracts` by `make contracts`. `{pool}` is a group of equal devices",
        "that share a store. Ids are in the payload and in the `ce-subject` header.",
        "",
        "## Streams",
        "",
        "| stream | retention | storage | kept | purpose |",
        "|---|---|---|---|---|",
    ]
    for spec in topology.streams():
        kept = f"{spec.max_age / 3600:g} h" if spec.max_age else "until handled"
        size = f"{spec.max_bytes // topology.MIB} MiB"
        lines.append(
            f"| {spec.name} | {spec.retention} | {spec.storage} | {kept}, {size} | {spec.summary} |"
        )
    for kind in subjects.Kind:
        rows = subjects.of_kind(kind)
        stream = subjects.STREAM_OF.get(kind)
        lines += [
            "",
            f"## {kind.value.capitalize()}" + (f" (stream {stream})" if stream else " (core NATS)"),
            "",
            "| subject | payload | from | to | meaning |",
            "|---|---|---|---|---|",
        ]
        for row in rows:
            payload = f"[{row.payload.__name__}](schemas/{row.payload.__name__}.json)"
            if row.reply is not None:
                payload += f" → {row.reply.__name__}"
            lines.append(
                f"| `{row.pattern}` | {payload} | {row.publisher} | {row.reader} | {row.summary} |"
            )
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Return every error code as a readable page."""
    lines = ["# Error codes", "", "Generated by `make contracts`.", ""]
    lines += ["| code | HTTP | meaning |", "|---|---|---|"]
    lines += [f"| `{code.value}` | {code.http_status} | {code.summary} |" for code in ErrorCode]
    return "\n".join(lines) + "\n"


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def rendered() -> dict[Path, str]:
    """Return every generated file and what it must hold."""
    from mistudio_servicekit.permissions import render_accounts
    from mistudio_servicekit.provision import render_topology

    files = {CONTRACTS / "schemas" / f"{n}.json": _json(s) for n, s in payload_schemas().items()}
    files[CONTRACTS / "schemas" / "ActivationManifest.json"] = _json(MANIFEST_SCHEMA)
    files[CONTRACTS / "subjects.md"] = subjects_page()
    files[CONTRACTS / "errors.md"] = errors_page()
    gateway = gateway_app()
    with tempfile.TemporaryDirectory() as scratch:
        services = brokers(Path(scratch))
        files[CONTRACTS / "asyncapi.yaml"] = asyncapi(services)
    files[CONTRACTS / "openapi.json"] = _json(gateway.openapi())
    files[ROOT / "docs" / "metrics.md"] = metrics_page(declared_metrics(services, gateway))
    for name, dashboard in dashboards().items():
        files[ROOT / "infra" / "grafana" / "dashboards" / f"{name}.json"] = _json(dashboard)
    for page in (ROOT / "docs" / "security.md", ROOT / "docs" / "messages.md"):
        files[page] = with_rendered_blocks(page.read_text(encoding="utf-8"), gateway)
    files[CONTRACTS / "frames.json"] = _json(frames_schema())
    files[ROOT / "docs" / "INTERNALS.md"] = internals_page()
    files[ROOT / "infra" / "nats" / "streams.yaml"] = render_topology()
    files[ROOT / "infra" / "nats" / "accounts.conf"] = render_accounts()
    return files


def drift() -> list[str]:
    """Return a unified diff for each committed file that is not what the code renders."""
    found: list[str] = []
    files = rendered()
    for path, text in files.items():
        committed = path.read_text(encoding="utf-8") if path.exists() else ""
        if committed != text:
            name = str(path.relative_to(ROOT))
            diff = difflib.unified_diff(
                committed.splitlines(), text.splitlines(), f"committed {name}", "rendered", n=1
            )
            found.append("\n".join(list(diff)[:40]))
    stale = set((CONTRACTS / "schemas").glob("*.json")) - set(files)
    found += [f"{path.relative_to(ROOT)} is of a message that is gone" for path in sorted(stale)]
    return found


def breaking() -> list[str]:
    """Return what breaks the released contract without a new major version."""
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    if released["version"].split(".")[0] != CONTRACT_VERSION.split(".")[0]:
        return []
    return breaking_changes(released["schemas"], payload_schemas())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare and change nothing")
    parser.add_argument(
        "--release", action="store_true", help="make today's schemas the released ones"
    )
    arguments = parser.parse_args()
    if arguments.check:
        problems = drift() + breaking()
        if problems:
            sys.exit("\n\n".join(problems) + "\n\nRun `make contracts`.")
        return
    files = rendered()
    for stale in set((CONTRACTS / "schemas").glob("*.json")) - set(files):
        stale.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if arguments.release:
        released = {"version": CONTRACT_VERSION, "schemas": payload_schemas()}
        RELEASED.write_text(_json(released), encoding="utf-8")


if __name__ == "__main__":
    main()
