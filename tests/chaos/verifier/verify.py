"""The whole verification, from the topics to the verdict."""

import asyncio
from collections.abc import Callable
from time import process_time

from .accounts import check_accounts, check_dead_letters
from .assignments import check_assignments
from .definitions import check_default_catalogue, published
from .inputs import TOPICS_IN, judge
from .issuing import check_issuing
from .learner import Learner
from .ledger import read_ledger
from .log import read_topics
from .projection import check_projection
from .published import DEAD_LETTERS, TOPICS_OUT, check_published
from .report import Report
from .users import check_users


async def verify(
    kafka: str,
    dsn: str,
    redis: str,
    prefix: str = "",
    *,
    catalogue: str | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Works out from the topics what must be so, and compares. The system must be at rest: drained, published, reconciled.

    `catalogue="default"` also compares the ledger's missions with the files of the default catalogue. `progress` is told each line
    of the report as it is found. Raises `LogUnreadable`, and what the clients raise, when a server can't be read.
    """
    report = Report(progress=progress)
    began = process_time()
    ledger = await read_ledger(dsn)
    report.note(f"the ledger has {len(ledger.states)} users and {len(ledger.tables['assignment'])} assignments")
    inputs = judge(await asyncio.to_thread(read_topics, kafka, TOPICS_IN, prefix, committed=True))
    definitions = published(ledger)
    if catalogue == "default":
        check_default_catalogue(report, definitions)
    applied = check_accounts(report, inputs, ledger, prefix)
    committed = await asyncio.to_thread(read_topics, kafka, (*TOPICS_OUT, DEAD_LETTERS), prefix, committed=True)
    check_dead_letters(report, inputs, ledger, [log for log in committed if log.topic == DEAD_LETTERS], prefix)
    learners = {name: Learner(name, events, ledger.states.get(name, {})) for name, events in applied.items()}
    check_users(report, learners, ledger)
    check_issuing(report, learners, definitions, ledger)
    check_assignments(report, learners, definitions, ledger)
    uncommitted = await asyncio.to_thread(read_topics, kafka, TOPICS_OUT, prefix, committed=False)
    check_published(report, definitions, ledger, committed, uncommitted)
    await check_projection(report, redis, prefix, ledger)
    report.note(f"verified with {process_time() - began:.1f} s of one core")
    return report
