"""What a transition sends: rows of the outbox before they are rows."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from mistudio_contracts.subjects import Subject


@dataclass(frozen=True)
class Outgoing:
    """A message to publish once the transaction that decided it has committed.

    Parameters
    ----------
    subject
        Row of the contract; its payload class is that of ``payload``.
    payload
        The message.
    entity_id
        What the message is about; travels as ``ce-subject``.
    pool
        Pool of the subject, where its pattern names one.
    """

    subject: Subject
    payload: BaseModel
    entity_id: str
    pool: str = "default"


Effects = tuple[Outgoing, ...]
