"""The envelope that every event travels in: CloudEvents 1.0."""

from typing import Literal

from mission_events.fields import EventModel, Identifier, Reference, TimeText

SPEC_VERSION: Literal["1.0"] = "1.0"


class Envelope(EventModel):
    """The attributes that every event has, as they stand on the wire; an event adds its `data`."""

    specversion: Literal["1.0"]
    """The CloudEvents version; the text "1.0"."""
    id: Identifier
    """Unique for ever within its `source`; the same event sent again has the same id."""
    source: Reference
    """The service that publishes, such as `lesson-service`."""
    type: Reference
    """What happened, with its version, such as `learning.xp-earned.v1`."""
    subject: Identifier
    """The user whose event it is; also the key of the Kafka record."""
    time: TimeText
    """When it happened: RFC 3339 with an offset."""
    datacontenttype: str | None = None
    """If sent, a JSON media type."""
