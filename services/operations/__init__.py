"""Use cases that several roles and the command line share; they order the effects on ledger and projection."""
