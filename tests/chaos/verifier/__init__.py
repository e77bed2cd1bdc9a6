"""The independent verifier: reads the input topics itself, works everything out again and compares it with ledger, topics out and Redis.

Nothing of `services` is used here, and no line of the codec: records are read by `tests/reference/reading.py`, rules by
`tests/reference/rules.py`. Run it when the system has come to rest:
`python -m tests.chaos.verifier --kafka HOST:PORT --dsn DSN --redis URL --prefix PREFIX`.

What is compared how. Records of different partitions have no order, so what may depend on one is compared within bounds: the
least that must have been counted, and the most that can have been. The report says how many objectives were exact.
- Exact: every count of records, the event log, dead letters, XP, lessons, chapters and units, questions whose answers came by one
  partition, progress of objectives over the events' own fields in daily and weekly missions, grants, all that is published.
- Within bounds: facts from history when a question's answers came by several partitions; the first events of a once or season
  mission, whose day of issue is open; a run of days that a late break ends; who gets which mission, by the active days that
  are certain and those that are possible; what was open beside the objectives that completed an `at_least` mission.
- Not compared: which of two events with the same effect completed a mission (any that counted may have).
Taken as given: definitions as published in the ledger, and the zones in a user's state, which must be ones that sessions told.
Limit: no input topic may lag another by 48 hours of record time or more, since the system then leaves out what is
over. A topic that was made anew has lost what an earlier account was of: the ledger is compared with what it has now, and differs.
"""

from .report import Report
from .verify import verify

__all__ = ["Report", "verify"]
