"""The newest events in memory, and the clients that follow them."""

from mistudio_contracts.events import ModelRegistered
from mistudio_contracts.frames import Selection
from mistudio_contracts.states import ModelStatus
from mistudio_gateway.domain.events import Interest
from mistudio_gateway.services.hub import Hub, Member
from mistudio_gateway.services.reader import Record


def told(sequence):
    event = ModelRegistered(model_id="m_1", status=ModelStatus.PENDING, name="n")
    data = event.model_dump_json().encode()
    return Record(sequence, 0, "model.registered", data, {})


def test_who_must_come_back_to_a_stream_made_anew_hears_none_of_it_before():
    hub = Hub(ring_events=10, ring_bytes=10_000)
    member = Member(Interest(Selection()), backlog_bytes=10_000)
    hub.begin(0, 0)
    hub.join(member)
    hub.take_event(told(1))
    assert member.outbox.pop().sequence == 1
    hub.reset()
    hub.take_event(told(1))
    assert member.restarted.is_set()
    assert member.outbox.pop() is None, "it is replayed when the client is back"
    assert [event.sequence for event in hub.since(0)] == [1]
