"""Starts a role on servers that are there and of the right shape, or says in one line what is missing and what to do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.adapters import metrics
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool, is_passing, open_pool
from services.adapters.ledger.migrate import MigrationError, pending
from services.adapters.settings import ServerSettings

from .catalogue import CatalogueWatcher

VERSION = "0.1.0"


class StartError(Exception):
    """A role can't start. `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


@asynccontextmanager
async def open_ledger(
    settings: ServerSettings, role: str, *, size: int, planner: dict[str, str] | None = None
) -> AsyncIterator[Pool]:
    """A pool on a ledger whose schema is this code's. Raises `StartError`."""
    dsn = settings.postgres_dsn.get_secret_value()
    try:
        missing = await pending(dsn)
        pool = await open_pool(dsn, size=size, application=f"missions-{role}", planner=planner)
    except MigrationError as error:
        raise StartError(str(error), "run the version of `missions` that fits this database") from error
    except Exception as error:
        if not is_passing(error) and not isinstance(error, ValueError):
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
        await pool.close()


async def load_catalogue(pool: Pool) -> CatalogueWatcher:
    """The ledger's catalogue, loaded. Raises `StartError` when nothing was ever published."""
    watcher = CatalogueWatcher(CatalogueStore(pool))
    await watcher.load()
    if watcher.current().revision == 0:
        raise StartError("the catalogue is empty", "publish missions: `missions catalogue apply`")
    return watcher


def partition_chooser(settings: ServerSettings) -> Callable[[bytes | None], int]:
    """Chooses the output partition of a key, the same for every topic out."""
    count = settings.output_partitions
    return lambda key: partition_for(key, count)
