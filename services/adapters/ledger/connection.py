"""Opens connections to the ledger, and tells errors that pass by themselves from those that do not."""

import asyncio
from typing import Any, TypeAlias

import asyncpg

from .access import refusal_of
from .queries import queries

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

_SQL = queries("connection")

STATEMENT_TIMEOUT_SECONDS = 60
"""A statement that takes longer is stuck: it is ended and its transaction tried again."""

BATCH_PLANNER_SETTINGS = {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off"}
"""Batches join sorted arrays with tables by index. A nested loop also locks rows in the arrays' order, the same in every lane,
so that two lanes which meet in the same users do not wait for each other."""

_PASSING = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.LockNotAvailableError,
)


def is_passing(error: BaseException) -> bool:
    """Whether trying the whole transaction again may help: the server is away, busy, full, or chose us as a deadlock's victim."""
    return isinstance(error, _PASSING) and not is_data_error(error)


def is_data_error(error: BaseException) -> bool:
    """Whether the data of a statement is at fault: trying it again can't help, trying it without the bad row can."""
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)  # how the driver says that a value does not fit its column
    return isinstance(error, (asyncpg.DataError, asyncpg.ProgramLimitExceededError))


async def connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection, for work that needs no pool. Raises `ServerRefuses`, and the driver's errors when the ledger is away."""
    try:
        return await asyncpg.connect(dsn)
    except Exception as error:
        if (refusal := refusal_of(error, dsn)) is not None:
            raise refusal from error
        raise


async def signed_in(dsn: str) -> str:
    """Who we are on the ledger at `dsn`, and whether the way there is encrypted. Raises as `connect`."""
    connection = await connect(dsn)
    try:
        row = await connection.fetchrow(_SQL["signed_in"])
        return f"as {row[0]}, {row[1] or 'without TLS'}" if row else ""
    finally:
        await connection.close()


async def open_pool(
    dsn: str, *, size: int, application: str, planner: dict[str, str] | None = None, stateless: bool = False
) -> Pool:
    """A pool of at most `size` connections. Raises `ServerRefuses`, and the driver's errors when the ledger is away.

    `stateless`: its users leave nothing in a session (no `set` but `set local`, no session's advisory lock, no `listen`), so that no
    round trip is spent on resetting it after each use. An open transaction is ended in any case.
    """
    settings: dict[str, Any] = {
        "application_name": application,
        "statement_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1000),
        "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1000),
        "timezone": "UTC",
        "jit": "off",
        **(planner or {}),
    }
    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            server_settings=settings,
            command_timeout=STATEMENT_TIMEOUT_SECONDS + 5,
            reset=_leave if stateless else None,
        )
    except Exception as error:
        if (refusal := refusal_of(error, dsn)) is not None:
            raise refusal from error
        raise


async def _leave(_connection: object) -> None:
    """Instead of the driver's reset, for sessions that have nothing to reset."""
