"""What a decoded record is: an event in, an event out, or an event of a type that nobody here knows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from mission_events.learning import LEARNING_MODELS, LearningData
from mission_events.missions import MissionData

_encode = msgspec.json.Encoder().encode


class UnknownType(msgspec.Struct, frozen=True, gc=False):
    """A well-formed envelope of a type that is not ours: to be counted and passed over, not a dead letter."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime


class Event(msgspec.Struct, frozen=True, gc=False):
    """One of the six events in. `time` is in UTC; (`source`, `id`) is what duplicates are known by."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    fields: Mapping[str, Any]
    """All fields of the data by name, checked; None for one that has no value. What is quick to make and to read; never change it."""

    @property
    def data(self) -> LearningData:
        """The data as the model of its type, made on each call."""
        return LEARNING_MODELS[self.type].model_construct(None, **self.fields)

    @property
    def raw_data(self) -> str:
        """The data as JSON text for an event log, built on each call.

        It holds the documented fields that have a value and nothing else: no unknown fields, no nulls, no
        NUL, no field twice. So any JSON column takes it, and it decodes to an equal `data`.
        """
        fields = self.fields
        if None in fields.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        return _encode(fields).decode()


class OutEvent(msgspec.Struct, frozen=True, gc=False):
    """One of the events out, as a consumer gets it. `time` is in UTC; duplicates are known by `id`."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: MissionData
