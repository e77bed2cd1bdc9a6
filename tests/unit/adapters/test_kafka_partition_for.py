"""The partition of a key is the one that Java's clients choose."""

import pytest

from services.adapters.kafka.producer import partition_for


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        # From the tests of Kafka's own client (org.apache.kafka.common.utils.UtilsTest).
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_known_hashes(key: bytes, murmur2: int) -> None:
    for count in (1, 3, 8, 12):
        assert partition_for(key, count) == (murmur2 & 0x7FFFFFFF) % count


def test_no_key_goes_to_the_first_partition() -> None:
    assert partition_for(None, 8) == 0
