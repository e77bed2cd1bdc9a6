"""Fuzzing of all that reads what others have written: records, dead letters, definitions, files of events."""
