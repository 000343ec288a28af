"""Voided tasks are remembered, also before their order comes."""

from mistudio_servicekit.cancellation import Cancellations


def test_a_task_is_void_from_its_cancel_on_and_listeners_hear_of_it() -> None:
    void = Cancellations()
    heard: list[str] = []
    void.on_cancel(heard.append)
    void.cancel(["task_1", "task_2"])
    assert "task_1" in void
    assert "task_3" not in void
    assert heard == ["task_1", "task_2"]


def test_the_oldest_are_forgotten_first() -> None:
    void = Cancellations()
    void.cancel(["task_first"])
    void.cancel(f"task_{number}" for number in range(10_000))
    assert "task_first" not in void
    assert "task_9999" in void
