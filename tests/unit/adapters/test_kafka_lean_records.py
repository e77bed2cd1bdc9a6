"""Records without aiokafka's wrapper say what they say with it, and only whoever asks for them gets them so."""

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.adapters.kafka.lean_records import AS_READ
from services.adapters.kafka.records import Record

LZ4 = 3
WRITTEN: tuple[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]], ...] = (
    (1_700_000_000_000, b"ada", b"{}", [("ce_id", b"1"), ("ce_id", None)]),
    (1_700_000_000_001, None, None, []),
    (1_700_000_000_002, b"", b"\x00", []),
)


def read(value_deserializer: object) -> list[Record]:
    builder = DefaultRecordBatchBuilder(2, LZ4, False, -1, -1, -1, 1 << 20)
    for offset, (timestamp, key, value, headers) in enumerate(WRITTEN):
        builder.append(offset, timestamp, key, value, headers)
    log = MemoryRecords(bytes(builder.build()))
    return list(PartitionRecords(TopicPartition("t", 0), log, [], 0, None, value_deserializer, True, READ_COMMITTED))


def test_a_record_says_the_same_with_and_without_the_wrapper() -> None:
    bare, wrapped = read(AS_READ), read(None)
    assert [type(record) for record in wrapped] == [ConsumerRecord] * len(WRITTEN)
    assert ConsumerRecord not in {type(record) for record in bare}
    for one, other in zip(bare, wrapped, strict=True):
        assert tuple(one.headers) == other.headers
        for name in ("offset", "timestamp", "timestamp_type", "key", "value"):
            assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("place", range(len(WRITTEN)))
def test_a_bare_record_says_what_was_written(place: int) -> None:
    record = read(AS_READ)[place]
    assert (record.timestamp, record.key, record.value, list(record.headers)) == WRITTEN[place]
    assert record.offset == place
