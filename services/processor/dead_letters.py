"""Publishes dead letters: the original bytes, with our headers that say why."""

from uuid import NAMESPACE_URL, uuid5

from mission_events import DeadLetter
from services.adapters.ledger.batch import headers_json
from services.adapters.ledger.outbox import OutboxMessage

DEAD_LETTER_TOPIC = "missions.dead-letter"

UNPROCESSABLE = "unprocessable"
"""Reason code of a record without a fault of form that the core or the ledger could not apply."""


def message_of_letter(letter: DeadLetter) -> OutboxMessage:
    """The message that carries a dead letter; its id follows from where the record lay."""
    place = f"dead-letter:{letter.topic}:{letter.partition}:{letter.offset}"
    return OutboxMessage(
        DEAD_LETTER_TOPIC, str(uuid5(NAMESPACE_URL, place)), letter.key, letter.value, headers_json(letter.to_headers())
    )
