"""The tests can fail: what keeps the promises is removed, one thing at a time, and tests must turn red."""
