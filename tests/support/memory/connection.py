"""asyncpg's pool and connection, as far as the ledger adapter uses them, on a Postgres in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeAlias, cast

import asyncpg
from typing_extensions import override

from services.adapters.ledger.columns import Numbers, Texts
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.queries import queries

from .postgres import Postgres, Session, Transaction
from .weather import Fate

Found: TypeAlias = "list[Record]"
Statement = Callable[..., Awaitable[Found]]

FILES = ("batch", "catalogue", "migrate", "records", "relay", "sweep", "users")


class Record(tuple[Any, ...]):
    """A row of an answer: by place and by name, like the driver's."""

    __slots__ = ()
    names: ClassVar[Sequence[str]] = ()

    @override
    def __getitem__(self, place: Any) -> Any:
        return super().__getitem__(self.names.index(place) if isinstance(place, str) else place)


def shape(*names: str) -> Callable[..., Record]:
    """Makes rows with these columns."""
    made = type("Record", (Record,), {"names": names, "__slots__": ()})
    return lambda *values: cast("Record", made(values))


_statements: dict[str, Statement] = {}
"""By "file.name"."""

_texts = {f"{file}.{name}": text for file in FILES for name, text in queries(file).items()}
_names = {text: name for name, text in _texts.items()}


def answers(file: str) -> Callable[[Statement], Statement]:
    """Marks what answers a query: the function is called as the query is in `sql/<file>.sql`; of `copy`, as the table that is
    copied into."""

    def mark(statement: Statement) -> Statement:
        name = f"{file}.{statement.__name__}"
        if name not in _texts and file != "copy":
            raise LookupError(f"no query is called {name} any more: take its memory version out, or rename it")
        _statements[name] = statement
        return statement

    return mark


def _statement(text: str) -> tuple[str, Statement]:
    name = _names.get(text)
    if name is None:
        raise NotImplementedError(f"no query of {', '.join(FILES)} is: {text}")
    if name not in _statements:
        raise NotImplementedError(f"the query {name} has no memory version yet: add one in tests/support/memory")
    return name, _statements[name]


class MemoryConnection:
    """One connection of the pool."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._server = session.server

    async def fetch(self, text: str, *args: Any) -> Found:
        """Runs one statement, in the open transaction or in one of its own."""
        name, statement = _statement(text)
        args = tuple(arg.members() if isinstance(arg, (Texts, Numbers)) else arg for arg in args)
        return await self._run(name, statement, *args)

    async def copy_records_to_table(
        self, table: str, *, records: Iterable[Sequence[Any]], columns: Sequence[str]
    ) -> None:
        """Copies rows into a table."""
        name = f"copy.{table}"
        await self._run(name, _statements[name], columns, list(records))

    async def _run(self, name: str, statement: Statement, *args: Any) -> Found:
        fate = await self._server.weather.befall("postgres", name)
        self.session.check()
        if fate is Fate.FAILS:
            self._break()
        transaction = self.session.transaction
        if transaction is None:
            found = await self._alone(statement, *args)
        else:
            if transaction.failed:
                raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
            try:
                found = await statement(transaction, *args)
            except BaseException:
                transaction.failed = True
                raise
        if fate is Fate.ANSWER_LOST:
            self._break()
        return found

    async def fetchrow(self, text: str, *args: Any) -> Record | None:
        """The first row."""
        found = await self.fetch(text, *args)
        return found[0] if found else None

    async def fetchval(self, text: str, *args: Any) -> Any:
        """The first value of the first row."""
        found = await self.fetch(text, *args)
        return found[0][0] if found else None

    async def execute(self, text: str, *args: Any) -> None:
        """Runs one statement without an answer."""
        await self.fetch(text, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint inside one."""
        outer = self.session.transaction
        if outer is not None:
            place = outer.savepoint()
            try:
                yield
            except BaseException:
                outer.roll_back_to(place)
                raise
            return
        await self._server.weather.befall("postgres", "begin")
        self.session.check()
        transaction = self.session.transaction = Transaction(self.session)
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException:
            transaction.roll_back()
            raise
        await self._commit(transaction)

    async def _commit(self, transaction: Transaction) -> None:
        try:
            fate = await self._server.weather.befall("postgres", "commit")
            self.session.check()
            if fate is Fate.FAILS:
                self._break()
        except GeneratorExit:
            raise
        except BaseException:
            transaction.roll_back()
            raise
        if transaction.failed:
            transaction.roll_back()
        else:
            transaction.commit()
        if fate is Fate.ANSWER_LOST:
            self._break()

    async def _alone(self, statement: Statement, *args: Any) -> Found:
        transaction = self.session.transaction = Transaction(self.session)
        try:
            found = await statement(transaction, *args)
        except BaseException:
            transaction.roll_back()
            raise
        transaction.commit()
        return found

    def _break(self) -> None:
        self.session.end()
        self.session.check()


class MemoryPool:
    """Connections to a Postgres in memory, for the adapters' own classes."""

    def __init__(self, server: Postgres, owner: str = "test") -> None:
        self.server = server
        self.owner = owner

    def as_pool(self) -> Pool:
        """Itself, as what the adapters take it for."""
        return cast("Pool", self)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[MemoryConnection]:
        """A connection while the block runs; its locks and settings go with it."""
        session = self.server.connect(self.owner)
        try:
            yield MemoryConnection(session)
        except GeneratorExit:
            raise  # a killed process says nothing: its server notices later
        except BaseException:
            session.end()
            raise
        session.end()

    async def fetch(self, text: str, *args: Any) -> Found:
        """One statement on a connection of its own."""
        async with self.acquire() as connection:
            return await connection.fetch(text, *args)

    async def fetchrow(self, text: str, *args: Any) -> Record | None:
        """The first row."""
        async with self.acquire() as connection:
            return await connection.fetchrow(text, *args)

    async def fetchval(self, text: str, *args: Any) -> Any:
        """The first value of the first row."""
        async with self.acquire() as connection:
            return await connection.fetchval(text, *args)

    async def execute(self, text: str, *args: Any) -> None:
        """One statement without an answer."""
        async with self.acquire() as connection:
            await connection.execute(text, *args)
