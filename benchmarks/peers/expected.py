"""Which missions the peers must have completed, counted from the published bytes by sums and sets, without their rules."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from benchmarks.events import Generated, user_id

Completion = tuple[str, str]
"""(user, mission)."""


def expected_completions(events: Iterable[Generated]) -> set[Completion]:
    """From every record that was published, in order. A repeated one counts twice: no peer here drops it."""
    lessons: Counter[int] = Counter()
    xp: Counter[int] = Counter()
    medium: Counter[int] = Counter()
    fixed: Counter[int] = Counter()
    open_mistakes: defaultdict[int, set[str]] = defaultdict(set)
    for topic, user, value in events:
        if topic == "learning.lesson-completed":
            lessons[user] += 1
        elif topic == "learning.xp-earned":
            data = json.loads(value)["data"]
            xp[user] += data["amount"] if data["xp_source"] != "mission_reward" else 0
        elif topic == "learning.question-answered":
            data = json.loads(value)["data"]
            question, mistakes = data["question_id"], open_mistakes[user]
            if not data["correct"]:
                mistakes.add(question)
                continue
            medium[user] += data["difficulty"] == "medium"
            fixed[user] += question in mistakes
            mistakes.discard(question)
    counted = {
        "lesson-1": (lessons, 1),
        "xp-20": (xp, 20),
        "xp-40": (xp, 40),
        "fix-2": (fixed, 2),
        "medium-3": (medium, 3),
    }
    return {
        (user_id(user), mission)
        for mission, (counts, target) in counted.items()
        for user, count in counts.items()
        if count >= target
    }
