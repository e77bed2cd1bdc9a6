"""Starts a role on servers that are there and of the right shape, or says in one line what is missing and what to do."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from services.adapters import crash_points, metrics
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.access import refusal_of
from services.adapters.ledger.catalogue import CatalogueStore, CatalogueUnreadable
from services.adapters.ledger.connection import Pool, is_passing, open_pool
from services.adapters.ledger.migrate import MigrationError, pending
from services.adapters.projection import TIMEOUT_SECONDS as PROJECTION_SECONDS
from services.adapters.projection import Projection, RedisTls
from services.adapters.refusals import ServerRefuses
from services.adapters.settings import ServerSettings

from .catalogue import CatalogueWatcher

VERSION = "0.1.0"

CLOSE_SECONDS = 2
"""Of the ten that a role has to drain."""


class StartError(Exception):
    """A role can't start. `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


def spare_collector() -> None:
    """Call it when a role has made what it keeps: Python's collector then leaves that alone. Modules, models and the catalogue are some
    hundred thousand objects, and each full walk over them held up a role for 90 ms."""
    gc.collect()
    gc.freeze()


def crash_points_of(role: str, steps: Collection[str]) -> crash_points.CrashPoints:
    """Where a test wants this role to crash; nowhere unless it says so. Raises `StartError`."""
    try:
        return crash_points.crash_points(role, steps)
    except crash_points.CrashPointRefused as error:
        raise StartError(error.problem, error.fix) from error


@asynccontextmanager
async def open_ledger(
    settings: ServerSettings, role: str, *, size: int, planner: dict[str, str] | None = None, stateless: bool = False
) -> AsyncIterator[Pool]:
    """A pool on a ledger whose schema is this code's, as `open_pool` opens it. Raises `StartError`."""
    dsn = settings.postgres_dsn.get_secret_value()
    try:
        missing = await pending(dsn)
        pool = await open_pool(dsn, size=size, application=f"missions-{role}", planner=planner, stateless=stateless)
    except MigrationError as error:
        raise StartError(str(error), "run the version of `missions` that fits this database") from error
    except ServerRefuses:
        raise
    except Exception as error:
        if (refusal := refusal_of(error, dsn)) is not None:
            raise refusal from error
        if not is_passing(error):
            raise
        raise StartError(
            f"Postgres does not answer: {error}", "start it (`make up`), or correct MISSIONS_POSTGRES_DSN"
        ) from error
    try:
        if missing:
            raise StartError(
                f"the ledger lacks {len(missing)} migrations, from {missing[0].name} on", "run `missions migrate`"
            )
        metrics.BUILD.labels(VERSION, role).set(1)
        yield pool
    finally:
        await _close(pool)


@asynccontextmanager
async def open_projection(
    settings: ServerSettings, *, timeout_seconds: float = PROJECTION_SECONDS
) -> AsyncIterator[Projection]:
    """The projection, which need not be there. Raises `ServerRefuses` when it is, and does not let us in."""
    url = settings.redis_url.get_secret_value()
    tls = RedisTls(settings.redis_ssl_cafile, settings.redis_ssl_certfile, settings.redis_ssl_keyfile)
    projection = Projection.connect(url, settings.topic_prefix, tls=tls, timeout_seconds=timeout_seconds)
    try:
        await projection.require_access(url)
        yield projection
    finally:
        await projection.close()


async def _close(pool: Pool) -> None:
    """Closes politely; a server that hangs does not hold up the end of the process."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


@asynccontextmanager
async def background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs side work while the block runs. Work that fails ends the block with its error: nothing goes on half alive.

    One error comes out as itself, since whoever starts a role knows what to say about it; several as an `ExceptionGroup`.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) > 1:
            raise
        error = errors.exceptions[0]
        raise error from error.__cause__


async def load_catalogue(pool: Pool) -> CatalogueWatcher:
    """The ledger's catalogue, loaded. Raises `StartError` when nothing was ever published, or by newer code."""
    watcher = CatalogueWatcher(CatalogueStore(pool))
    try:
        await watcher.load()
    except CatalogueUnreadable as error:
        raise StartError(str(error), "upgrade this process, or publish a version without what is new") from error
    if watcher.current().revision == 0:
        raise StartError("the catalogue is empty", "publish missions: `missions catalogue apply`")
    return watcher


def partition_chooser(settings: ServerSettings) -> Callable[[bytes | None], int]:
    """Chooses the output partition of a key, the same for every topic out."""
    count = settings.output_partitions
    return lambda key: partition_for(key, count)
