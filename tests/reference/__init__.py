"""An independent second reading of the rules, a random life to play to it and to the real system, and the comparison of both.

`compare.check(ledger_dsn, journal, definitions, prefix)` says what is wrong in a ledger. It needs the journal of all that ever happened
to it (`journal.py`) and the definitions of its missions. `play.play(life, world, disturb)` writes such a journal, and injects faults.
"""
