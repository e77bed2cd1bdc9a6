"""What must hold at every commit, every publication and every answer, and what must be true when all has drained."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mission_events import TOPICS_OUT
from services.adapters.kafka.transactional import id_header
from services.claims.claim_reward import ClaimCommand, Granted, Refusal, Refused
from services.missions.state import Status, UserState, decode_state
from tests.reference.journal import Record
from tests.reference.model import Model
from tests.support.memory.kafka import LogRecord
from tests.support.memory.postgres import Change, Row

from .load import INPUT

if TYPE_CHECKING:
    from .world import World

ASSIGNED = "missions.mission-assigned"
COMPLETED = "missions.mission-completed"
GRANTED = "missions.reward-granted"
EXPIRED = "missions.mission-expired"
DEAD_LETTER = "missions.dead-letter"

NEXT = {
    None: {"IN_PROGRESS", "COMPLETED"},
    "IN_PROGRESS": {"IN_PROGRESS", "COMPLETED", "EXPIRED"},
    "COMPLETED": {"COMPLETED", "CLAIMED"},
    "CLAIMED": {"CLAIMED"},
    "EXPIRED": {"EXPIRED"},
}
"""What the row of an assignment may become."""


class Checks:
    """Watches the servers, not the handlers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._targets = {
            (mission["id"], index): objective["target"]
            for mission in world.missions
            for index, objective in enumerate(mission["objectives"])
        }
        self._published: dict[str, bytes | None] = {}
        self._places: dict[str, int] = {}
        self._last_place: dict[tuple[str, bytes | None], int] = {}
        self._commits = 0
        self._histories: set[tuple[str, int]] = set()
        self._bodies: dict[str, bytes] = {}
        self._keys: dict[tuple[str, str], set[str]] = defaultdict(set)

    # At every commit of the ledger.

    def committed(self, changes: list[Change]) -> None:
        """Looks at what a transaction has changed."""
        for (table, key), before, after in changes:
            if table == "user_state" and after is not None:
                self._state_changed(before, after)
            elif table == "assignment" and after is not None:
                self._row_changed(before, after)
            elif table == "input_position" and after is not None:
                self._moved(key, before, after)
            elif table == "reward_grant" and before is not None:
                self._wrong(f"the grant of {key} was changed")
            elif table == "outbox" and before is None and after is not None:
                self._commits += 1
                self._places[after["message_id"]] = self._commits
                if after["message_id"] in self._published:
                    self._wrong(f"{after['topic']} {after['message_id']} is to be published again")
        for (table, key), before, after in changes:
            if table == "reward_grant" and before is None and after is not None:
                self._granted(key, after)

    def lost(self, changes: list[Change]) -> None:
        """A crash may take back no more than what Kafka delivers again."""
        for (table, key), _, after in changes:
            if table in ("reward_grant", "claim_answer", "relay_checkpoint"):
                self._wrong(f"a crash took back {table} {key}: {after}")

    def _state_changed(self, before: Row | None, after: Row) -> None:
        new = decode_state(after["state"])
        self._histories.add((new.user_id, new.stamp))
        if new.version != after["version"] or after["version"] != (before["version"] if before else 0) + 1:
            self._wrong(f"{new.user_id} went from version {before and before['version']} to {after['version']}")
        old = decode_state(before["state"]) if before else UserState(new.user_id)
        known = {a.assignment_id: a for a in old.assignments}
        for assignment in new.assignments:
            what = f"{new.user_id} {assignment.mission_id} {assignment.starts_at:%m-%d}"
            reached = [objective.progress for objective in assignment.objectives]
            for index, progress in enumerate(reached):
                if progress > self._targets[assignment.mission_id, index]:
                    self._wrong(f"{what}: progress {progress} is above its target")
            if (one := known.get(assignment.assignment_id)) is None:
                continue
            if any(o.progress > p for o, p in zip(one.objectives, reached, strict=True)):
                self._wrong(f"{what}: progress fell from {[o.progress for o in one.objectives]} to {reached}")
            if str(assignment.status) not in NEXT[str(one.status)]:
                self._wrong(f"{what}: {one.status} became {assignment.status} in its user's state")

    def _row_changed(self, before: Row | None, after: Row) -> None:
        was = before["status"] if before else None
        if after["status"] not in NEXT[was]:
            self._wrong(f"{after['user_id']} {after['mission_id']}: {was} became {after['status']}")

    def _moved(self, key: Any, before: Row | None, after: Row) -> None:
        end = len(self._world.kafka.logs[key])
        if after["next_offset"] > end or (before and after["next_offset"] < before["next_offset"]):
            self._wrong(f"the position of {key} went to {after['next_offset']} of {end}")

    def _granted(self, assignment_id: str, grant: Row) -> None:
        row = self._row(assignment_id)
        if row is None or row["status"] != "CLAIMED" or row["user_id"] != grant["user_id"]:
            self._wrong(f"a grant of {assignment_id}, which is {row and row['status']}")

    def _row(self, assignment_id: str) -> Row | None:
        rows = self._world.postgres.tables["assignment"].values()
        return next((row for row in rows if row["assignment_id"] == assignment_id), None)

    # At every write of the projection.

    def shown(self, values: Sequence[bytes]) -> None:
        """Only what was committed before may be shown, whatever becomes of it."""
        for value in values:
            state = decode_state(value.partition(b"|")[2])
            if (state.user_id, state.stamp) not in self._histories:
                self._wrong(f"version {state.version} of {state.user_id} is in Redis before its commit")

    # At every commit of Kafka.

    def published(self, records: list[LogRecord]) -> None:
        """Looks at what consumers can read now."""
        for record in records:
            message_id = _id(record)
            if message_id in self._published:
                same = self._published[message_id] == record.value
                self._wrong(f"{record.topic} {message_id} is published twice{'' if same else ', with another payload'}")
            self._published[message_id] = record.value
            place = self._places.get(message_id)
            if place is None:
                self._wrong(f"{record.topic} {message_id} was never in the outbox")
            elif record.topic != DEAD_LETTER:
                group = (record.topic, record.key)
                if place < self._last_place.get(group, 0):
                    self._wrong(f"{record.topic} {message_id} overtook one of the same user")
                self._last_place[group] = place
            if not self._is_durable(record):
                self._wrong(f"{record.topic} {record.value!r} is published, and a crash could take it back")

    def _is_durable(self, record: LogRecord) -> bool:
        durable = self._world.postgres.durable
        if record.topic == DEAD_LETTER:
            headers = dict(record.headers)
            place = (_text(headers, "topic"), int(_text(headers, "partition")), int(_text(headers, "offset")))
            return durable("dead_letter", place) is not None
        data = json.loads(record.value or b"")["data"]
        assignment_id = data["assignment_id"]
        if record.topic == GRANTED:
            return durable("reward_grant", assignment_id) is not None
        row = self._row(assignment_id)
        kept = row and durable("assignment", (row["user_id"], row["mission_id"], row["starts_at"]))
        if not kept:
            return False
        if record.topic == COMPLETED:
            return kept["status"] in ("COMPLETED", "CLAIMED")
        return record.topic == ASSIGNED or kept["status"] == "EXPIRED"

    # At every answer to a claim.

    def key_of(self, user: str) -> str | None:
        """An Idempotency-Key that this user has had an answer under."""
        return next((key for (name, key) in self._keys if name == user), None)

    def claim_answered(self, command: ClaimCommand, answer: Granted | Refused) -> None:
        """One grant an assignment, the same answer for ever, and only what is on disk."""
        key = command.idempotency_key
        used = self._keys[command.user_id, key] if key else set()
        if isinstance(answer, Refused):
            if answer.why is Refusal.KEY_REUSED and used <= {command.assignment_id}:
                self._wrong(f"{command}: its key was never used for anything else")
            return
        body = json.loads(answer.body)
        if body["assignment_id"] != command.assignment_id:
            self._wrong(f"{command} was answered with the grant of {body['assignment_id']}")
        used.add(command.assignment_id)
        first = self._bodies.setdefault(command.assignment_id, answer.body)
        if first != answer.body:
            self._wrong(f"{command} was answered {answer.body!r}, and before {first!r}")
        grant = self._world.postgres.durable("reward_grant", command.assignment_id)
        if grant is None or grant["user_id"] != command.user_id or grant["grant_id"] != body["grant_id"]:
            self._wrong(f"{command} was answered {body}, on disk is {grant}")

    # When all is healed.

    def unsettled(self) -> list[str]:
        """What has not drained yet."""
        world, tables = self._world, self._world.postgres.tables
        left = []
        for place in world.group.partitions:
            end, row = len(world.kafka.logs[place]), tables["input_position"].get(place)
            if end and (row is None or row["next_offset"] < end):
                left.append(f"{place} is applied to {row and row['next_offset']} of {end}")
        if tables["outbox"]:
            left.append(f"{len(tables['outbox'])} messages wait in the outbox")
        if world.claimants.waiting:
            left.append(f"{world.claimants.waiting} claims have no answer")
        kept = {user: b"%d|%b" % (row["version"], row["state"]) for user, row in tables["user_state"].items()}
        shown = {key.removeprefix("missions:{").removesuffix("}"): v for key, v in world.redis.values.items()}
        others = [user for user in kept.keys() | shown.keys() if kept.get(user) != shown.get(user)]
        if stale := sorted(user for user in others if self._swept(kept.get(user)) != self._swept(shown.get(user))):
            left.append(f"Redis is not as the ledger for {stale}")
        return left

    def _swept(self, value: bytes | None) -> UserState | None:
        """A state with the assignments marked that the sweep has ended. The ledger's state learns of it with its next change;
        a copy of it that was locked, and then shown, knows it before, under the same version."""
        state = decode_state(value.partition(b"|")[2]) if value else None
        for assignment in state.assignments if state else ():
            row = self._row(assignment.assignment_id)
            if row is not None and row["status"] == "EXPIRED":
                assignment.status = Status.EXPIRED
        return state

    def final(self) -> None:
        """Compares ledger and topics with what must follow from the records."""
        self._compare_accounts(self._model())
        self._compare_topics()

    def _model(self) -> Model:
        """The reference model, with every record in the order in which it was produced."""
        records = []
        for topic, count in INPUT.items():
            for partition in range(count):
                for record in self._world.kafka.logs[topic, partition]:
                    if record is not None:
                        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
                        records.append(Record(topic, "", record.value, at, (), partition))
        records.sort(key=lambda record: record.at)
        return Model(self._world.missions).play(records)

    def _compare_accounts(self, model: Model) -> None:
        tables = self._world.postgres.tables
        for topic in INPUT:
            mine = [row for (name, _), row in tables["input_position"].items() if name == topic]
            expected = Counter({what: n for (name, what), n in model.tallies.items() if name == topic})
            for names in (("applied", "unmatched", "late"), ("duplicate",), ("dead_letter",), ("unknown",)):
                found, wanted = (
                    sum(row[name] for row in mine for name in names),
                    sum(expected[name] for name in names),
                )
                if found != wanted:
                    self._wrong(f"{topic}: {found} records are {' or '.join(names)}, should be {wanted}")
        self._compare_progress(model)

    def _compare_progress(self, model: Model) -> None:
        rows = dict(self._world.postgres.tables["assignment"])
        states = {user: decode_state(row["state"]) for user, row in self._world.postgres.tables["user_state"].items()}
        for user in model.users.values():
            for a in user.assignments:
                what = f"{user.name} {a.mission['id']} {a.starts_at:%m-%d}"
                row = rows.pop((user.name, a.mission["id"], a.starts_at), None)
                if row is None:
                    self._wrong(f"{what} was never issued")
                    continue
                reached = self._reached(row, states[user.name])
                if reached != a.progress():
                    self._wrong(f"{what}: progress is {reached}, should be {a.progress()}")
                if (row["status"] in ("COMPLETED", "CLAIMED")) != (a.status in ("COMPLETED", "CLAIMED")):
                    self._wrong(f"{what} is {row['status']}, should be {a.status}")
        for key, row in rows.items():  # issued by the clock: nobody did anything in that time
            if any(self._reached(row, states[row["user_id"]])) or row["status"] not in ("IN_PROGRESS", "EXPIRED"):
                self._wrong(f"{key} has come to {row['status']} by nothing")

    def _reached(self, row: Row, state: UserState) -> list[float]:
        for assignment in state.assignments:
            if assignment.assignment_id == row["assignment_id"]:
                if str(assignment.status) != row["status"] and assignment.status is not Status.IN_PROGRESS:
                    self._wrong(
                        f"{row['user_id']} {row['mission_id']}: {assignment.status} in the state, not in its row"
                    )
                return [objective.progress for objective in assignment.objectives]
        return list(json.loads(row["progress"])) if row["progress"] else []

    def _compare_topics(self) -> None:
        tables = self._world.postgres.tables
        grants, rows = tables["reward_grant"], list(tables["assignment"].values())
        wanted = {
            ASSIGNED: {row["assignment_id"] for row in rows},
            COMPLETED: {row["assignment_id"] for row in rows if row["status"] in ("COMPLETED", "CLAIMED")},
            EXPIRED: {row["assignment_id"] for row in rows if row["status"] == "EXPIRED"},
            GRANTED: set(grants),
        }
        claimed = {row["assignment_id"] for row in rows if row["status"] == "CLAIMED"}
        if claimed != set(grants):
            self._wrong(f"claimed and granted differ: {claimed ^ set(grants)}")
        found: dict[str, list[str]] = defaultdict(list)
        letters = 0
        for topic in TOPICS_OUT:
            for partition in range(self._world.output_partitions):
                for record in self._world.kafka.committed(topic.name, partition):
                    if topic.name == DEAD_LETTER:
                        letters += 1
                    else:
                        found[topic.name].append(json.loads(record.value or b"")["data"]["assignment_id"])
        for name, ids in wanted.items():
            if sorted(found[name]) != sorted(ids):
                missing, more = ids - set(found[name]), Counter(found[name]) - Counter(ids)
                self._wrong(f"{name}: {len(missing)} are missing, {sum(more.values())} are too many")
        if letters != len(tables["dead_letter"]):
            self._wrong(f"{letters} dead letters are published of {len(tables['dead_letter'])}")

    def _wrong(self, what: str) -> None:
        self._world.violated(what)


def _id(record: LogRecord) -> str:
    value = dict(record.headers)[id_header(record.topic)]
    return (value or b"").decode()


def _text(headers: dict[str, bytes | None], name: str) -> str:
    return (headers[f"dead_letter_{name}"] or b"").decode()
