"""The job of every peer that keeps its state locally: five missions a user, written as plainly as a team would write it.

It imports nothing of the system, so that each peer is measured with its own way of keeping state and not with ours.
`kafka_streams/Missions.java` is the same in Java.
"""

from typing import Any

MISSIONS = ("lesson-1", "xp-20", "xp-40", "fix-2", "medium-3")
TARGETS = (1, 20, 40, 2, 3)

State = dict[str, Any]
"""`p`: progress by mission; `m`: questions whose last answer was wrong."""


def new_state() -> State:
    """A user whom nobody has seen."""
    return {"p": [0, 0, 0, 0, 0], "m": []}


def advance(state: State, event: dict[str, Any]) -> tuple[bool, list[str]]:
    """Applies one event to the state, in place: (whether it changed, the missions that it completed)."""
    kind, data = event["type"], event["data"]
    if kind == "learning.lesson-completed.v1":
        return _add(state, ((0, 1),))
    if kind == "learning.xp-earned.v1":
        if data["xp_source"] == "mission_reward":
            return False, []
        return _add(state, ((1, data["amount"]), (2, data["amount"])))
    if kind == "learning.question-answered.v1":
        return _answer(state, data)
    return False, []


def _answer(state: State, data: dict[str, Any]) -> tuple[bool, list[str]]:
    question, mistakes = data["question_id"], state["m"]
    if not data["correct"]:
        if question in mistakes:
            return False, []
        mistakes.append(question)
        return True, []
    steps = []
    changed = False
    if question in mistakes:
        mistakes.remove(question)
        changed = True
        steps.append((3, 1))
    if data["difficulty"] == "medium":
        steps.append((4, 1))
    moved, completed = _add(state, tuple(steps))
    return changed or moved, completed


def _add(state: State, steps: tuple[tuple[int, int], ...]) -> tuple[bool, list[str]]:
    progress = state["p"]
    changed = False
    completed = []
    for mission, amount in steps:
        target = TARGETS[mission]
        before = progress[mission]
        if before < target:
            changed = True
            progress[mission] = min(before + amount, target)
            if progress[mission] == target:
                completed.append(MISSIONS[mission])
    return changed, completed
