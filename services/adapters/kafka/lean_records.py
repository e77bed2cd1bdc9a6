"""Lets a consumer hand on the records that aiokafka has read, without wrapping each in a dataclass of eleven fields.

The wrapping takes nearly as long as the reading, and what it adds, topic, partition and sizes, the worker knows or does not ask.
"""

from typing import Any, Final

from aiokafka.consumer.fetcher import PartitionRecords

_wrap: Final = PartitionRecords._consumer_record


class _AsRead:
    """Given to a consumer as its deserializer of values: values are as they are, and so are the records."""

    def __call__(self, value: bytes) -> bytes:
        return value


AS_READ: Final = _AsRead()


def _record(records: Any, partition: Any, record: Any) -> Any:
    return record if records._value_deserializer is AS_READ else _wrap(records, partition, record)


PartitionRecords._consumer_record = _record
