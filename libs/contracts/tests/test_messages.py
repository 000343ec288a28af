"""Every message has a valid example, and the vocabularies hold together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from mistudio_contracts import errors, frames, subjects, topology
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import ErrorCode, InvalidInput, MiStudioError, NotFound
from mistudio_contracts.looking import Along, Measure
from mistudio_contracts.schemas import breaking_changes, frames_schema, payload_schemas
from mistudio_contracts.states import (
    EXTRACTION_TRANSITIONS,
    MODEL_TRANSITIONS,
    Dtype,
    ExtractionStatus,
    ModelStatus,
)
from mistudio_contracts.subjects import Kind
from mistudio_contracts.values import Artifact, ModelFacts, Tokenization, store_key

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples"
IDS = [s.pattern for s in subjects.ALL]


def example(subject: subjects.Subject) -> dict[str, Any]:
    name = subject.pattern.replace("{pool}", "POOL") + ".json"
    loaded: dict[str, Any] = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("subject", subjects.ALL, ids=IDS)
def test_each_message_has_an_example_that_survives_a_round_trip(subject: subjects.Subject) -> None:
    payload = example(subject)
    message = subject.payload.model_validate(payload)
    again = subject.payload.model_validate_json(message.model_dump_json())
    assert again == message
    assert set(payload) <= set(subject.payload.model_fields), "an example shows only real fields"


def test_no_example_is_left_of_a_message_that_is_gone() -> None:
    named = {s.pattern.replace("{pool}", "POOL") + ".json" for s in subjects.ALL}
    assert {p.name for p in EXAMPLES.iterdir()} == named


@pytest.mark.parametrize("subject", subjects.ALL, ids=IDS)
def test_unknown_fields_of_a_newer_writer_are_ignored(subject: subjects.Subject) -> None:
    subject.payload.model_validate({**example(subject), "a_field_of_tomorrow": 1})


def test_subjects_carry_no_ids_and_are_unique() -> None:
    patterns = [s.pattern for s in subjects.ALL]
    assert len(set(patterns)) == len(patterns)
    assert all(p.replace("{pool}", "pool").replace(".", "").isalpha() for p in patterns)


def test_payload_class_names_are_unique_so_that_schemas_do_not_overwrite_each_other() -> None:
    kinds = {s.payload for s in subjects.ALL} | {s.reply for s in subjects.ALL if s.reply}
    assert len({k.__name__ for k in kinds}) == len(kinds)


def test_each_kept_subject_is_caught_by_exactly_its_stream() -> None:
    for subject in subjects.ALL:
        catching = [
            spec.name
            for spec in topology.streams()
            for pattern in spec.subjects
            if pattern == subject.name()
            or (pattern.endswith(">") and subject.name().startswith(pattern[:-1]))
        ]
        assert catching == ([subject.stream] if subject.stream else []), subject.pattern


def test_each_queued_subject_has_one_durable_a_pool() -> None:
    durables = topology.consumers(("default", "edge"))
    assert len({d.name for d in durables}) == len(durables)
    assert {d.subject for d in durables} >= {"work.edge.model.place", "model.load.requested"}


def test_each_event_has_a_frame_type() -> None:
    told = {s.pattern for s in subjects.of_kind(Kind.EVENT, Kind.PROGRESS)}
    assert told == set(frames.FRAME_TYPES)


def test_each_frame_is_of_exactly_one_kind_of_the_frames_schema() -> None:
    schema = frames_schema()
    validator = Draft202012Validator(schema)
    sent = [
        frames.Frame(id=3, type=frames.FRAME_TYPES[s.pattern], data=shown(s)).model_dump()
        for s in subjects.of_kind(Kind.EVENT, Kind.PROGRESS)
    ]
    refusal = InvalidInput("No.", field="x").body()
    sent.append(frames.ErrorFrame(data=refusal).model_dump(mode="json"))
    sent.append(frames.Subscribed(id=7).model_dump())
    for frame in sent:
        validator.validate(frame)
        assert not validator.is_valid({**frame, "type": "model:dreaming"})
    assert len(schema["oneOf"]) == len(set(frames.FRAME_TYPES.values())) + 2


def shown(subject: subjects.Subject) -> dict[str, Any]:
    payload = subject.payload.model_validate(example(subject))
    found: dict[str, Any] = payload.model_dump(mode="json")
    return found


@pytest.mark.parametrize(
    "along", [{"neuron": 1, "direction": [1.0]}, {"direction": [0.0]}, {"direction": [math.inf]}]
)
def test_a_measure_is_one_and_points_somewhere(along: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Along.model_validate(along)


def test_without_a_neuron_or_a_direction_the_norm_is_measured() -> None:
    assert Along().measure is Measure.NORM
    assert Along(neuron=0).measure is Measure.NEURON
    assert Along(direction=[0.0, 1.0]).measure is Measure.DIRECTION


def test_terminal_extractions_lead_nowhere() -> None:
    for status in ExtractionStatus:
        assert status.terminal == (not EXTRACTION_TRANSITIONS[status])


def test_every_model_status_can_be_left() -> None:
    assert set(MODEL_TRANSITIONS) == set(ModelStatus)
    assert all(MODEL_TRANSITIONS.values())


def test_an_error_keeps_its_class_and_details_over_the_wire() -> None:
    sent = NotFound("There is no model m_1.", code=ErrorCode.MODEL_NOT_FOUND, remedy="List them.")
    got = MiStudioError.from_body(
        errors.ErrorBody.model_validate_json(sent.body().model_dump_json())
    )
    assert type(got) is NotFound
    assert (got.code, got.message, got.details) == (sent.code, sent.message, sent.details)


@pytest.mark.parametrize("code", list(ErrorCode), ids=str)
def test_each_code_has_an_http_error_status_and_a_sentence(code: ErrorCode) -> None:
    assert 400 <= code.http_status < 600
    assert code.summary.endswith(".")


def extraction(**fields: Any) -> RequestExtraction:
    return RequestExtraction.model_validate({"model_id": "m_1", "dataset_id": "ds_1", **fields})


def test_an_extraction_must_name_a_layer() -> None:
    with pytest.raises(ValidationError, match="at least one layer"):
        extraction()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\x00b", "a\\b"])
def test_paths_on_the_wire_stay_inside_their_root(path: str) -> None:
    for subject, field in ((subjects.RPC_STORE_READ, "path"), (subjects.RPC_STORE_VERIFY, "after")):
        with pytest.raises(ValidationError, match=field):
            subject.payload.model_validate({"store_key": "0" * 32, field: path})


def test_a_store_key_changes_with_what_decides_the_values_and_with_nothing_else() -> None:
    base = store_key("a" * 32, "b" * 32, Tokenization(column="text"), Dtype.FLOAT32)
    assert base == store_key("a" * 32, "b" * 32, Tokenization(column="text"), Dtype.FLOAT32)
    others = {
        store_key("c" * 32, "b" * 32, Tokenization(column="text"), Dtype.FLOAT32),
        store_key("a" * 32, "c" * 32, Tokenization(column="text"), Dtype.FLOAT32),
        store_key("a" * 32, "b" * 32, Tokenization(column="body"), Dtype.FLOAT32),
        store_key("a" * 32, "b" * 32, Tokenization(column="text", truncate=True), Dtype.FLOAT32),
        store_key("a" * 32, "b" * 32, Tokenization(column="text"), Dtype.FLOAT16),
        store_key("a" * 32, "b" * 32, Tokenization(column="text", stride=64), Dtype.FLOAT32),
        store_key("a" * 32, "b" * 32, Tokenization(column="text", stride=32), Dtype.FLOAT32),
    }
    assert len(others | {base}) == 8


def test_stores_that_are_older_than_windows_keep_their_key() -> None:
    how = Tokenization(column="text", max_length=128)
    assert store_key("a" * 32, "b" * 32, how, Dtype.FLOAT32) == "43db4fcdeae6153cffc40c0fb910a4a1"


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"stride": 8, "truncate": True}, "truncated or cut into windows"),
        ({"stride": 9, "max_length": 8}, "would leave gaps"),
        ({"stride": 0}, "greater than or equal to 1"),
    ],
)
def test_windows_that_make_no_sense_are_refused_at_the_stride(
    asked: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint) as caught:
        extraction(layer_indices=[0], tokenization=asked)
    assert caught.value.errors()[0]["loc"] == ("tokenization", "stride")


class TestBreakingChanges:
    """A breaking change is found; an addition is not."""

    @staticmethod
    def changed(**change: Any) -> list[str]:
        old = {"LoadModel": payload_schemas()["LoadModel"]}
        new = json.loads(json.dumps(old))
        for path, value in change.items():
            node = new["LoadModel"]
            *parents, last = path.split("__")
            for parent in parents:
                node = node[parent]
            if value is None:
                del node[last]
            else:
                node[last] = value
        return breaking_changes(old, new)

    def test_the_same_is_no_change(self) -> None:
        assert breaking_changes(payload_schemas(), payload_schemas()) == []

    def test_a_property_gone(self) -> None:
        assert self.changed(properties__model_id=None) == ["LoadModel.model_id is gone"]

    def test_a_property_newly_required(self) -> None:
        assert self.changed(required=["model_id", "quantization"]) == [
            "LoadModel.quantization is newly required"
        ]

    def test_a_type_changed(self) -> None:
        assert self.changed(properties__model_id__type="integer") == [
            "LoadModel.model_id is no longer string"
        ]

    def test_a_type_that_became_one_of_several(self) -> None:
        either = {"oneOf": [{"type": "array"}, {"type": "string"}]}
        assert self.changed(properties__model_id=either) == []

    def test_a_value_gone(self) -> None:
        assert self.changed(**{"$defs__Quantization__enum": ["none", "int8"]}) == [
            "LoadModel.Quantization no longer takes bf16, fp16, int4"
        ]

    def test_a_payload_gone(self) -> None:
        assert breaking_changes({"Old": {}}, {}) == ["Old is gone"]

    def test_an_optional_property_added(self) -> None:
        assert self.changed(properties__pool={"type": "string"}) == []


def test_bad_input_names_the_field_and_the_remedy() -> None:
    error = InvalidInput(
        "No such layer.", field="layer_indices", remedy="Use -12..11.", reason=None
    )
    assert error.body().details == {"field": "layer_indices", "remedy": "Use -12..11."}


class TestDtypes:
    """int8 is how activations are stored, never what weights or the residual stream are."""

    def test_weights_are_floats(self) -> None:
        facts = {"fingerprint": "a" * 32, "quantization": "int8", "bytes": 1}
        for dtype in ("float32", "float16", "bfloat16"):
            assert Artifact(**facts, dtype=dtype).dtype == dtype
        with pytest.raises(ValidationError, match="stored activations alone"):
            Artifact(**facts, dtype="int8")
        with pytest.raises(ValidationError, match="stored activations alone"):
            ModelFacts(model_type="gpt2", dtype="int8")

    @pytest.mark.parametrize(
        ("dtype", "expected"),
        [("float32", 4 * 768 + 4), ("float16", 1540), ("bfloat16", 1540), ("int8", 768 + 8)],
    )
    def test_a_row_takes_its_values_its_norm_and_the_scale_of_int8(
        self, dtype: str, expected: int
    ) -> None:
        assert Dtype(dtype).row_bytes(768) == expected
