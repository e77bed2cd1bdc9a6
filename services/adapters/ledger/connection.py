"""Opens connections to the ledger, and tells errors that pass by themselves from those that do not."""

import asyncio
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

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


async def open_pool(dsn: str, *, size: int, application: str, planner: dict[str, str] | None = None) -> Pool:
    """A pool of at most `size` connections. Raises the driver's errors when the ledger can't be reached."""
    settings: dict[str, Any] = {
        "application_name": application,
        "statement_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1000),
        "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1000),
        "timezone": "UTC",
        "jit": "off",
        **(planner or {}),
    }
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        server_settings=settings,
        command_timeout=STATEMENT_TIMEOUT_SECONDS + 5,
    )
