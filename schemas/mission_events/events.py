"""What a decoded record is: an event in, an event out, or an event of a type that nobody here knows."""

from datetime import datetime

import msgspec

from mission_events.learning import LearningData
from mission_events.missions import MissionData


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
    data: LearningData

    @property
    def raw_data(self) -> str:
        """The data as JSON text for an event log, built on each call.

        It holds the documented fields that have a value and nothing else: no unknown fields, no nulls, no
        NUL, no field twice. So any JSON column takes it, and it decodes to an equal `data`.
        """
        return self.data.__pydantic_serializer__.to_json(self.data, exclude_none=True).decode()


class OutEvent(msgspec.Struct, frozen=True, gc=False):
    """One of the events out, as a consumer gets it. `time` is in UTC; duplicates are known by `id`."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: MissionData
