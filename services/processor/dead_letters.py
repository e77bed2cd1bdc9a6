"""Keeps the bad records of a batch as dead letters and publishes them: the original bytes, with our headers that say why."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from mission_events import DeadLetter
from services.adapters.kafka.records import PartitionId, Record
from services.adapters.ledger.batch import BatchTransaction
from services.adapters.ledger.dead_letters import letter_of_copy
from services.adapters.ledger.headers import headers_json
from services.adapters.ledger.outbox import OutboxMessage

from .brake import judge

DEAD_LETTER_TOPIC = "missions.dead-letter"

UNPROCESSABLE = "unprocessable"
"""Reason code of a record without a fault of form that the core or the ledger could not apply."""


async def keep_letters(
    transaction: BatchTransaction,
    partition: PartitionId,
    start: int,
    end: int,
    records: Sequence[Record],
    letters: Sequence[DeadLetter],
) -> None:
    """Keeps the letters of a partition's records `[start, end)`, and puts them into the outbox. Raises `Flood`.

    A copy that an operator has sent through again and that is as bad as before goes into its letter's history instead, and
    the brake does not count it.
    """
    if not letters:
        return
    of = transaction.of(partition)
    account = await of.letter_account()
    copies = [(letter, place) for letter in letters if (place := letter_of_copy(letter)) is not None]
    returned = await of.return_letters(account.incarnation, copies) if copies else set()
    fresh = [letter for letter in letters if letter.offset not in returned]
    offsets = [record.offset for record in records if record.offset not in returned]
    brake = judge(account.brake, start, end, offsets, {letter.offset: letter.reason for letter in fresh})
    await of.save_brake(brake)
    await of.dead_letters(account.incarnation, fresh)
    await transaction.publish([message_of_letter(letter, account.incarnation) for letter in fresh])


def message_of_letter(letter: DeadLetter, incarnation: int = 1) -> OutboxMessage:
    """The message that carries a dead letter; its id follows from where the record lay."""
    place = f"dead-letter:{letter.topic}:{letter.partition}:{letter.offset}"
    if incarnation > 1:
        place += f":{incarnation}"
    return OutboxMessage(
        DEAD_LETTER_TOPIC, str(uuid5(NAMESPACE_URL, place)), letter.key, letter.value, headers_json(letter.to_headers())
    )
