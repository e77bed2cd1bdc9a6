"""What three missions of the default catalogue must come to, counted from the published bytes without any of the system's code."""

import json
from collections.abc import Iterable
from typing import Any

from .events import Generated

Progress = dict[str, int]
"""Progress by mission id."""


def expected_progress(events: Iterable[Generated]) -> Progress:
    """Progress of one user on a first day, from all of that user's events in the order published; repeated ids count once."""
    seen: set[str] = set()
    lessons = xp = fixed = 0
    mistakes: set[str] = set()
    for generated in events:
        event = json.loads(generated.value)
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        data: dict[str, Any] = event["data"]
        match generated.topic:
            case "learning.lesson-completed":
                lessons += 1
            case "learning.xp-earned" if data["xp_source"] != "mission_reward":
                xp += data["amount"]
            case "learning.question-answered" if not data["correct"]:
                mistakes.add(data["question_id"])
            case "learning.question-answered" if data["question_id"] in mistakes:
                mistakes.remove(data["question_id"])
                fixed += 1
    return {"daily-lesson-1": min(lessons, 1), "daily-xp-20": min(xp, 20), "fix-mistakes-2": min(fixed, 2)}
