"""Care for aiokafka's clients where they do harm by themselves: while no broker answers, and when they close."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.transaction import EndTxnRequest

PACE_SECONDS = 0.1
"""Between two requests for metadata while no broker answers; what the client itself takes elsewhere."""

ABORT_SECONDS = 1.0
"""Aborting is only a kindness to readers: the next writer's start aborts too."""

CLOSE_SECONDS = 1.0
"""A client that can't say goodbye within this time is closed without."""

_closing: set[asyncio.Task[None]] = set()
"""Clients being closed; the loop alone would not keep their tasks alive."""


def pace(client: AIOKafkaClient) -> None:
    """Lets a client wait before it asks for metadata again after no broker has answered.

    While it does not know a partition's leader it asks as fast as connections are refused: thousands of times a second, with
    two lines in the log for each.
    """
    ask = client._metadata_update

    async def ask_and_wait(*arguments: object) -> bool:
        answered: bool = await ask(*arguments)
        if not answered:
            await asyncio.sleep(PACE_SECONDS)
        return answered

    client._metadata_update = ask_and_wait


class AnswerLost(Exception):
    """A transaction's end was asked for, and the answer did not come: it may have ended, or may yet end, or not."""


def end_transactions_once(producer: AIOKafkaProducer) -> None:
    """Lets a producer fail for good when the answer to a transaction's end is lost, instead of asking again by itself.

    In the protocol that this client speaks, the broker cannot tell a request that was held up on its way from one that ends
    the next transaction, and so the first asking could end that one half way. A new writer has a new epoch, which what
    is still on its way does not have.
    """
    send = producer.client.send

    async def send_once(node_id: int, request: Any, **options: Any) -> Any:
        try:
            return await send(node_id, request, **options)
        except NodeNotReadyError:
            raise  # it was not sent
        except KafkaError as error:
            if isinstance(request, EndTxnRequest):
                raise AnswerLost("the answer to the end of a transaction was lost") from error
            raise

    producer.client.send = send_once


async def close_admin(admin: AIOKafkaAdminClient) -> None:
    """Closes it within a bounded time."""
    await _to_the_end(_close(admin.close()))


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Closes it within a bounded time."""

    async def close() -> None:
        # With a request under way `stop` ends in a cancellation of its own, before it has closed the connections.
        await _close(consumer.stop())
        await _close(consumer._client.close())

    await _to_the_end(close())


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Closes it within a bounded time, whatever state it is in. An open transaction is aborted if that is quick."""
    await _to_the_end(_abort_and_close(producer))


def look_at(future: "asyncio.Future[Any]") -> None:
    """An error comes in every future that the client has given out; those that nobody waits for any more must not be
    reported as forgotten."""
    if not future.cancelled():
        future.exception()


async def _to_the_end(closing: Coroutine[Any, Any, None]) -> None:
    """Closes a client in a task of its own, and waits for that.

    The client swallows a cancellation that meets it while it closes, and then a lane that was told to end would go on. And
    cancellations of its own tasks come out of it, and then a lane that nobody told to end would end without a word.
    """
    task = asyncio.create_task(closing)
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _close(closing: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError, KafkaError, asyncio.CancelledError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await closing


async def _abort_and_close(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(TimeoutError, KafkaError, AssertionError):
        async with asyncio.timeout(ABORT_SECONDS):
            await producer.abort_transaction()
    await _close(producer.stop())
    # `stop` waits for all that is still to be sent, for ever if the broker is away. The client has no other way to give up:
    # its sending task has to be cancelled, more than once, because it waits for its own tasks when it is.
    sender = producer._sender.sender_task
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            while sender is not None and not sender.done():
                sender.cancel()
                await asyncio.wait([sender], timeout=0.1)
    await _close(producer.client.close())
    unsent = [batch._drain_waiter for batches in producer._message_accumulator._batches.values() for batch in batches]
    for future in (producer._txn_manager.wait_for_transaction_end(), *unsent):
        if future is not None and future.done():
            look_at(future)
