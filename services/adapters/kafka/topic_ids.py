"""Topic ids: tell a topic from one of the same name that was made after it was deleted. aiokafka's own requests are too old to.

Kafka has them since 2.8 (KIP-516); from an older broker nothing is known, and only positions tell that a topic was made anew.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from typing_extensions import override

Send: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Sends a request to any broker and returns its response."""


class _Uuid(AbstractType[UUID]):  # type: ignore[misc] # aiokafka is untyped here
    """Sixteen bytes; aiokafka has no such type."""

    @classmethod
    @override
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    @override
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_NO_ID = UUID(int=0)
_TAGS = ("tags", TaggedFields)
_NUMBERS = CompactArray(Int32)


class _Metadata_v12(Response):  # type: ignore[misc] # noqa: N801 - as aiokafka names versions
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", CompactString()), ("port", Int32), ("rack", CompactString()), _TAGS
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _NUMBERS),
                        ("isr", _NUMBERS),
                        ("offline", _NUMBERS),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MetadataRequest_v12(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Metadata_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _MetadataRequest(Request[_MetadataRequest_v12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    @override
    def build(self, request_struct_class: type[_MetadataRequest_v12]) -> _MetadataRequest_v12:
        return request_struct_class([(_NO_ID, name, {}) for name in self._topics], False, False, {})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whether a topic is still the one that it was."""

    topic_id: UUID
    partitions: int


async def identities(send: Send, topics: Collection[str]) -> dict[str, Identity]:
    """Those of these topics; missing ones are left out, and all of them where the broker knows no ids.

    Raises aiokafka's KafkaError.
    """
    try:
        answer = await send(_MetadataRequest(topics))
    except (NotImplementedError, IncompatibleBrokerVersion):
        return {}
    return {
        name: Identity(topic_id, len(partitions))
        for _, name, topic_id, _, partitions, *_ in answer.topics
        if topic_id != _NO_ID
    }


async def topic_ids(send: Send, topics: Collection[str]) -> dict[str, UUID]:
    """Only the ids, as `identities`."""
    return {name: found.topic_id for name, found in (await identities(send, topics)).items()}
