"""FastStream renders AsyncAPI from the subscribers and publishers that really run."""

from typing import Any

from faststream.specification import AsyncAPI

from mistudio_contracts import subjects
from mistudio_contracts.subjects import Kind
from mistudio_servicekit.bus import create_broker, declare_publishers
from mistudio_servicekit.consume import consume, listen
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.settings import ServiceSettings


async def nothing(*arguments: Any) -> Any:
    raise AssertionError("not called")


def document(service: str) -> dict[str, Any]:
    """Render a service that reads and publishes all that the contract gives it."""
    broker = create_broker(ServiceSettings(nats_url="nats://u:secret@bus:4222"), service)
    for subject in subjects.ALL:
        if subject.reader != service:
            continue
        if subject.stream:
            consume(broker, subject, nothing)
        elif subject.kind is Kind.REQUEST:
            serve(broker, subject, nothing)
        else:
            listen(broker, subject, nothing, shared=True)
    declare_publishers(broker, [s for s in subjects.ALL if s.publisher == service])
    found: dict[str, Any] = AsyncAPI(broker, title=service).to_specification().to_jsonable()
    return found


def test_each_channel_has_subject_payload_and_description() -> None:
    for service in ("catalog", "loader", "extractor"):
        rendered = document(service)
        for subject in subjects.ALL:
            if service not in (subject.reader, subject.publisher):
                continue
            channel = rendered["channels"][subject.name()]
            assert channel["address"] == subject.name()
            assert channel["description"] == subject.summary
            [message] = channel["messages"].values()
            name = message["$ref"].rsplit("/", 1)[-1]
            payload = rendered["components"]["messages"][name]["payload"]
            assert payload["$ref"].rsplit("/", 1)[-1] == subject.payload.__name__
            assert subject.payload.__name__ in rendered["components"]["schemas"]


def test_what_is_read_and_what_is_published_are_told_apart() -> None:
    operations = document("catalog")["operations"]
    actions = {operation["action"] for operation in operations.values()}
    assert actions == {"receive", "send"}
    assert operations["model.load.requested"]["action"] == "receive"
    assert operations["model.ready"]["action"] == "send"


def test_schemas_are_the_payloads_own() -> None:
    schemas = document("catalog")["components"]["schemas"]
    assert schemas["LoadModel"]["required"] == ["model_id"]
    assert "quantization" in schemas["LoadModel"]["properties"]


def test_neither_address_nor_credentials_are_shown() -> None:
    assert "secret" not in str(document("loader"))
    assert "bus:4222" not in str(document("loader"))
