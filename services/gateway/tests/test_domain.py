"""Decisions about order, backlog, versions and forms, without a bus."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_contracts import events
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.frames import Selection
from mistudio_contracts.states import ModelStatus
from mistudio_gateway.domain import versions
from mistudio_gateway.domain.events import Interest, public_event
from mistudio_gateway.domain.guard import Step, TaskGuard
from mistudio_gateway.domain.multipart import Field, FileBegin, FileData, FileEnd, FormReader
from mistudio_gateway.domain.outbox import Lagging, Outbox
from mistudio_gateway.domain.text import check_tree


def registered(name="n", sequence=1):
    event = events.ModelRegistered(model_id="m_1", status=ModelStatus.PENDING, name=name)
    return public_event(sequence, "model.registered", event)


def step(progress, task="task_1", entity="m_1"):
    return Step(entity, task, progress)


def unloaded(model_id="m_1"):
    return events.ModelUnloaded(model_id=model_id, status=ModelStatus.UNLOADED, reason="cancelled")


def loading(task, model_id="m_1"):
    return events.ModelLoading(
        model_id=model_id, status=ModelStatus.LOADING, task_id=task, quantization="none"
    )


def test_progress_is_refused_once_its_task_ended():
    guard = TaskGuard()
    guard.observe(loading("task_1"))
    assert guard.admits(step(10))
    guard.observe(unloaded())
    assert not guard.admits(step(20))
    guard.observe(loading("task_2"))
    assert guard.admits(step(1, "task_2"))


def test_an_end_without_a_task_ends_the_one_known_from_its_progress():
    guard = TaskGuard()
    assert guard.admits(step(10, "task_7"))
    guard.observe(unloaded())
    assert not guard.admits(step(11, "task_7"))


def test_the_guards_memory_is_bounded():
    guard = TaskGuard(remember=2)
    for number in range(5):
        guard.observe(loading(f"task_{number}", f"m_{number}"))
        guard.observe(unloaded(f"m_{number}"))
    assert guard.admits(step(1, "task_0", "m_0"))
    assert not guard.admits(step(1, "task_4", "m_4"))


def test_events_are_sent_before_progress_and_progress_is_the_newest():
    outbox = Outbox(10_000)
    first, second, event = registered("1", None), registered("2", None), registered("3")
    outbox.put_progress(step(10), first)
    outbox.put_progress(step(20), second)
    outbox.put_event(event)
    assert [outbox.pop(), outbox.pop(), outbox.pop()] == [event, second, None]


def test_progress_never_goes_back_within_a_task():
    outbox = Outbox(10_000)
    outbox.put_progress(step(20), registered())
    outbox.pop()
    outbox.put_progress(step(10), registered())
    assert outbox.pop() is None
    outbox.put_progress(step(0, "task_2"), registered())
    assert outbox.pop() is not None


def test_progress_begins_with_what_is_known_unless_as_much_was_heard_meanwhile():
    known, heard = registered("1"), registered("2")
    outbox = Outbox(10_000)
    outbox.begin_progress(step(10), known)
    assert outbox.pop() is known
    for meanwhile in (step(10), step(20), step(0, "task_2")):
        outbox = Outbox(10_000)
        outbox.put_progress(meanwhile, heard)
        outbox.begin_progress(step(10), known)
        assert [outbox.pop(), outbox.pop()] == [heard, None]
    outbox = Outbox(10_000)
    outbox.put_progress(step(5), heard)
    outbox.begin_progress(step(10), known)
    assert [outbox.pop(), outbox.pop()] == [known, None]


def test_progress_that_waits_is_dropped_with_its_task():
    outbox = Outbox(10_000)
    outbox.put_progress(step(20), registered())
    outbox.end("m_1")
    assert outbox.pop() is None


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=60))
def test_what_waits_never_exceeds_the_limit_and_nothing_is_lost(sizes):
    outbox = Outbox(2_000)
    kept = []
    for number, size in enumerate(sizes):
        event = registered("x" * size, number)
        before = outbox.waiting
        try:
            outbox.put_event(event)
        except Lagging:
            assert before + event.size > 2_000
            break
        kept.append(event)
        assert outbox.waiting <= 2_000
    assert [outbox.pop() for _ in kept] == kept
    assert (outbox.waiting, len(outbox)) == (0, 0)


def test_the_size_of_a_frame_is_counted_in_bytes():
    assert registered("é").size == len(registered("é").text.encode()) == registered("e").size + 1


def test_a_refused_command_is_for_whoever_hears_of_what_it_names():
    refused = events.CommandRefused(
        command_id="cmd_1",
        command="model.load.requested",
        error={"code": "STATUS_CONFLICT", "message": "m"},
        model_id="m_1",
    )
    assert Interest(Selection(models=["m_1"], extractions=[])).wants(refused)
    assert not Interest(Selection(models=["m_2"], extractions=None)).wants(refused)
    nameless = refused.model_copy(update={"model_id": None})
    assert Interest(Selection()).wants(nameless)
    assert not Interest(Selection(models=[], extractions=[])).wants(nameless)


@given(st.datetimes(), st.integers(min_value=-14, max_value=14))
def test_an_etag_stands_for_one_moment_in_any_zone(moment, hours):
    if not datetime(2, 1, 1) < moment < datetime(9998, 1, 1):
        return
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    etag = versions.etag_of(aware)
    assert versions.moments_in(versions.tags_in(etag)) == [aware]
    assert versions.is_among(aware, f'"x", W/{etag}')
    assert not versions.is_among(aware + timedelta(microseconds=1), etag)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nProse\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\none\r\n--two\r\n\r\n--b--\r\n"
)


@given(st.lists(st.integers(min_value=1, max_value=len(FORM)), max_size=12))
def test_a_form_reads_the_same_however_it_is_cut(cuts):
    reader = FormReader(b"b")
    edges = sorted({0, len(FORM), *cuts})
    parts = [part for start, end in pairwise(edges) for part in reader.feed(FORM[start:end])]
    content = b"".join(part.data for part in parts if isinstance(part, FileData))
    assert content == b"one\r\n--two\r\n"
    others = [part for part in parts if not isinstance(part, FileData)]
    assert others == [Field("name", "Prose"), FileBegin("file", "p.txt"), FileEnd()]
    assert reader.complete


def test_headers_of_a_part_are_bounded():
    reader = FormReader(b"b")
    with pytest.raises(InvalidInput):
        reader.feed(b"--b\r\nX: " + b"a" * 10_000)


@given(
    st.recursive(
        st.text(max_size=3), lambda c: st.lists(c) | st.dictionaries(st.text(max_size=3), c)
    )
)
def test_a_tree_is_refused_exactly_when_some_text_in_it_cannot_be_stored(tree):
    def texts(node):
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            for key, child in node.items():
                yield key
                yield from texts(child)
        else:
            for child in node:
                yield from texts(child)

    bad = any("\0" in text or any("\ud800" <= c <= "\udfff" for c in text) for text in texts(tree))
    if bad:
        with pytest.raises(InvalidInput):
            check_tree(tree)
    else:
        check_tree(tree)
