"""Every offset is accounted for, the event log has each event once, and every bad record is a dead letter, once."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from .inputs import Inputs, Judged, Key, Place, Seen
from .ledger import Ledger, Row
from .log import Headers, Log, Raw
from .report import Report

OUTCOMES = ("applied", "unmatched", "duplicate", "late", "dead_letter", "unknown", "skipped", "lost")
OURS = "dead_letter_"

Offset = tuple[str, int, int]
"""Topic without prefix, partition, offset."""


def check_accounts(report: Report, inputs: Inputs, ledger: Ledger, prefix: str) -> dict[str, list[Seen]]:
    """Compares; gives of each user the records that were applied, as the event log says."""
    applied = _event_log(report, inputs, ledger, prefix)
    logged = Counter(seen.place for events in applied.values() for seen in events)
    rows = {(row["topic"].removeprefix(prefix), row["partition"]): row for row in ledger.tables["input_position"]}
    for place in sorted(inputs.partitions.keys() | rows.keys()):
        judged = inputs.partitions.get(place)
        row = rows.get(place)
        if judged is None:
            report.differ("account", _named(place), "no account: there is no such partition", "an account")
        elif row is not None:
            _partition(report, place, judged, row, logged[place])
        elif judged.log.end > judged.log.first:
            report.differ("account", _named(place), f"offsets {judged.log.first} to {judged.log.end}", "no account")
    total = sum(len(judged.log.records) for judged in inputs.partitions.values())
    told = ", ".join(f"{sum(row[name] for row in rows.values())} {name.replace('_', ' ')}" for name in OUTCOMES)
    report.note(f"{total} records in {len(inputs.partitions)} input partitions; the ledger says {told}")
    return applied


def _named(place: Place) -> str:
    return f"{place[0]}/{place[1]}"


def _partition(report: Report, place: Place, judged: Judged, row: Row, logged: int) -> None:
    log, name = judged.log, _named(place)
    report.same("account", f"{name} next offset", log.end, row["next_offset"])
    report.same("account", f"{name} first offset", log.first, row["first_offset"])
    report.same("account", f"{name} dead letters", len(judged.bad), row["dead_letter"])
    report.same("account", f"{name} unknown types", judged.unknown, row["unknown"])
    report.same("account", f"{name} duplicates", judged.good - logged, row["duplicate"])
    report.same(
        "account", f"{name} skipped and lost", log.end - log.first - len(log.records), row["skipped"] + row["lost"]
    )
    effective = row["applied"] + row["unmatched"] + row["late"]
    report.same("account", f"{name} applied, unmatched and late", logged, effective)


def _event_log(report: Report, inputs: Inputs, ledger: Ledger, prefix: str) -> dict[str, list[Seen]]:
    rows: dict[Key, list[Row]] = {}
    for row in ledger.tables["event_log"]:
        rows.setdefault((row["source"], row["event_id"], row["day"]), []).append(row)
    applied: dict[str, list[Seen]] = {}
    for key, copies in inputs.copies.items():
        found = rows.pop(key, [])
        seen = _copy_of(copies, found[0], prefix) if found else None
        if len(found) != 1 or seen is None:
            places = ", ".join(map(str, copies[:5]))
            what = f"{len(found)} rows" if len(found) != 1 else f"a row of {_text(_place(found[0], prefix))}"
            report.differ("event log", f"user {copies[0].user}, event {key[0]} {key[1]}", "one row", what, places)
        else:
            _compare_logged(report, seen, found[0])
        seen = seen or copies[0]
        applied.setdefault(seen.user, []).append(seen)
    for key, extra in rows.items():
        place = _text(_place(extra[0], prefix))
        report.differ("event log", f"user {extra[0]['user_id']}, event {key[0]} {key[1]}", "no row", "a row", place)
    report.note(
        f"event log: {len(ledger.tables['event_log'])} rows, {len(inputs.copies)} different events in the topics"
    )
    return applied


def _copy_of(copies: Sequence[Seen], row: Row, prefix: str) -> Seen | None:
    """The copy that the row names: it must be the first one of its partition, since nothing before it had an effect."""
    place = (row["topic"].removeprefix(prefix), row["partition"])
    first = next((seen for seen in copies if seen.place == place), None)
    return first if first is not None and first.offset == row["offset"] else None


def _compare_logged(report: Report, seen: Seen, row: Row) -> None:
    names = ("user_id", "event_type", "event_time", "recorded_at")
    wanted = (seen.user, seen.kind, seen.at, seen.recorded_at, seen.data)
    found = (*(row[name] for name in names), json.loads(row["data"]))
    if wanted != found:
        report.differ("event log", f"user {seen.user}, event {seen.source} {seen.id}", wanted, found, str(seen))


def check_dead_letters(report: Report, inputs: Inputs, ledger: Ledger, published: Sequence[Log], prefix: str) -> None:
    """One row and one published dead letter for each bad record, with the bytes that came; of a letter that was sent through again
    and came back, a line in its history instead."""
    rows = {_place(row, prefix): row for row in ledger.tables["dead_letter"]}
    returned: dict[Offset, Row | None] = {}
    for line in ledger.tables["dead_letter_history"]:
        if line["what"] == "returned":
            copy = (line["topic"].removeprefix(prefix), line["at_partition"], line["at_offset"])
            returned[copy] = rows.get(_place(line, prefix))
    letters: dict[Offset, list[Raw]] = {}
    for log in published:
        for raw in log.records:
            ours = {name.removeprefix(OURS): value or b"" for name, value in raw.headers if name.startswith(OURS)}
            topic = ours.get("topic", b"").decode().removeprefix(prefix)
            place = (topic, int(ours.get("partition", -1)), int(ours.get("offset", -1)))
            letters.setdefault(place, []).append(raw)
    bad = {(*place, offset): raw for place, one in inputs.partitions.items() for offset, raw in one.bad.items()}
    for place in sorted(bad.keys() | rows.keys() | letters.keys() | returned.keys()):
        is_copy = place in returned
        found = (returned[place] if is_copy else rows.get(place), letters.get(place, []))
        _letter(report, place, bad.get(place), *found, times=0 if is_copy else 1)
        if is_copy and place in rows:
            report.differ("dead letter", _text(place), "a line in the history of the letter it copies", "a row too")
    copies = sum(map(len, letters.values()))
    told = f"{len(bad)} bad records, {len(rows)} rows, {len(returned)} came back, {copies} published"
    report.note(f"dead letters: {told}")


def _place(row: Row, prefix: str) -> Offset:
    return row["topic"].removeprefix(prefix), row["partition"], row["offset"]


def _text(place: Offset) -> str:
    return f"{place[0]}/{place[1]}@{place[2]}"


def _letter(
    report: Report, place: Offset, raw: Raw | None, row: Row | None, published: list[Raw], *, times: int
) -> None:
    name = _text(place)
    if raw is None:
        found = f"{int(row is not None)} row, {len(published)} published"
        report.differ("dead letter", name, "none: the record is sound", found)
        return
    if row is None:
        report.differ("dead letter", name, "a row", "none", name)
    elif (row["key"], row["value"], row["recorded_at"]) != (raw.key, raw.value, raw.at):
        report.differ("dead letter", name, "the bytes that came", f"{row['value']!r} in the ledger", name)
    if len(published) != times:
        report.differ("dead letter", name, f"published {times} times", f"{len(published)} times", name)
    for letter in published:
        original = [header for header in raw.headers if not header[0].startswith(OURS)]
        kept = [header for header in letter.headers if not header[0].startswith(OURS)]
        is_same = letter.key == raw.key and _is_same_value(letter, raw.value)
        if not is_same or any(header not in kept for header in original):
            report.differ("dead letter", name, "the bytes that came", f"{letter.value!r} published", name)


def _is_same_value(letter: Raw, value: bytes | None) -> bool:
    digest = _header(letter.headers, OURS + "sha256")
    if digest is not None and value is not None:  # it was too large to publish whole, and says so
        return hashlib.sha256(value).hexdigest().encode() == digest
    return letter.value == value


def _header(headers: Headers, wanted: str) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
