"""The missions that the random life is played with: the default catalogue, and some that a week of it would not reach."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from .journal import XP

DEFAULT_CATALOGUE = Path(__file__).parents[2] / "services" / "missions" / "default_catalogue"

EXTRA = """
- {id: extra-daily-sum, type: daily, title: {en: "Small steps"}, period: daily, claim: {grace_days: 0},
   objectives: [{id: xp, event: learning.xp-earned.v1, where: {xp_source: {in: [lesson, practice]}, amount: {lt: 15}},
                 measure: {sum: amount}, target: 25}]}
- {id: extra-daily-exists, type: daily, title: {en: "No score"}, period: daily, claim: {grace_days: 1, then: auto_claim},
   objectives: [{id: lessons, event: learning.lesson-completed.v1, where: {accuracy: {exists: false}, hearts_lost: {lte: 1}},
                 measure: count, target: 1}]}
- {id: extra-daily-seen, type: skill_practice, title: {en: "Seen before"}, period: daily,
   objectives: [{id: seen, event: learning.question-answered.v1, where: {history.days_since_seen: {gte: 1, lte: 3}},
                 measure: {distinct: question_id}, target: 2}]}
- {id: extra-daily-yesterday, type: skill_practice, title: {en: "Yesterday's"}, period: daily,
   objectives: [{id: fixed, event: learning.question-answered.v1,
                 where: {correct: true, history.open_mistake: true, history.mistake_age_days: {gte: 1}}, measure: count, target: 1}]}
- {id: extra-weekly-run, type: streak, title: {en: "No heart lost"}, period: weekly,
   objectives: [{id: days, event: learning.lesson-completed.v1, where: {hearts_lost: {lte: 1}},
                 measure: {consecutive_days: {break_on: {hearts_lost: {gt: 2}}}}, target: 3}]}
- {id: extra-weekly-max, type: weekly, title: {en: "Take your time"}, period: weekly,
   objectives: [{id: longest, event: learning.lesson-completed.v1, measure: {max: duration_seconds}, target: 800}]}
- {id: extra-weekly-items, type: weekly, title: {en: "Three items"}, period: weekly,
   objectives: [{id: items, event: learning.item-used.v1, where: {item_type: {not_in: [xp_boost]}}, measure: {sum: quantity}, target: 3}]}
- {id: extra-weekly-language, type: language, title: {en: "Your language"}, period: weekly, parameters: {language: python},
   objectives: [{id: lessons, event: learning.lesson-completed.v1, where: {language: $language}, measure: count, target: 4}]}
- {id: extra-daily-today, type: skill_practice, title: {en: "Once more"}, period: daily,
   objectives: [{id: again, event: learning.question-answered.v1, where: {history.days_since_seen: {lt: 1}}, measure: count, target: 4}]}
- {id: extra-weekly-xp, type: weekly, title: {en: "Any XP but ours"}, period: weekly,
   objectives: [{id: xp, event: learning.xp-earned.v1, where: {amount: {gte: 2}}, measure: {sum: amount}, target: 90}]}
- {id: extra-weekly-review, type: skill_practice, title: {en: "See {target} again"}, period: weekly,
   fit: {to: questions_seen, at_least: 12}, otherwise: hard-questions-5,
   objectives: [{id: seen, event: learning.question-answered.v1, where: {history.days_since_seen: {exists: true}},
                 measure: {distinct: question_id}, target: 40}]}
- {id: extra-chapter, type: skill_practice, title: {en: "This chapter"}, period: daily,
   objectives: [{id: right, event: learning.question-answered.v1, where: {correct: true, chapter_id: $current_chapter},
                 measure: {distinct: question_id}, target: 3}]}
- {id: extra-once-two-of-three, type: special, title: {en: "Two of three"}, period: once, require: {at_least: 2},
   objectives: [{id: easy, event: learning.question-answered.v1, where: {difficulty: easy, correct: true}, measure: count, target: 6},
                {id: medium, event: learning.question-answered.v1, where: {difficulty: medium}, measure: count, target: 7},
                {id: hard, event: learning.question-answered.v1, where: {difficulty: hard}, measure: count, target: 3}]}
- {id: extra-once-next, type: special, title: {en: "The next one"}, period: once, requires: [extra-once-two-of-three],
   objectives: [{id: streak, event: learning.streak-updated.v1, where: {change: {in: [extended]}}, measure: {max: days}, target: 3}]}
- {id: extra-season, type: special, title: {en: "Three days only"}, period: season, claim: {grace_days: 1, then: auto_claim},
   audience: {languages: {in: [python, sql]}},
   objectives: [{id: bosses, event: learning.lesson-completed.v1, where: {lesson_type: boss_challenge}, measure: count, target: 1}]}
"""


def life_definitions(start: datetime) -> list[dict[str, Any]]:
    """Definitions as plain data, in the order of the catalogue; one season opens on the second day after `start`."""
    definitions: list[dict[str, Any]] = []
    for file in sorted(DEFAULT_CATALOGUE.glob("*.yaml")):
        definitions += yaml.safe_load(file.read_text("utf-8"))["missions"]
    for extra in yaml.safe_load(EXTRA):
        if extra["period"] == "season":
            extra |= {"opens_at": start + timedelta(hours=37), "closes_at": start + timedelta(hours=109)}
        definitions.append(
            {"rewards": [{"kind": "gems", "amount": 5}, {"kind": "badge", "badge_id": extra["id"]}], **extra}
        )
    return definitions


def spelt_out(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition with everything that it leaves unsaid."""
    claim, require = definition.get("claim", {}), definition.get("require", "all")
    objectives = [_spelt_out_objective(objective) for objective in definition["objectives"]]
    return {
        "audience": {},
        "requires": [],
        "parameters": {},
        "fit": None,
        "otherwise": None,
        "stand_in": False,
        **definition,
        "objectives": objectives,
        "names": sorted(set(re.findall(r"'\$(\w+)'", str(objectives)))),
        "needed": len(objectives) if require == "all" else require["at_least"],
        "grace": timedelta(days=claim.get("grace_days", 7)),
        "auto_claim": claim.get("then") == "auto_claim",
    }


def _spelt_out_objective(objective: dict[str, Any]) -> dict[str, Any]:
    """XP from rewards counts only where a mission says something about the source of XP."""
    measure, where = objective["measure"], objective.get("where", {})
    if objective["event"] == XP:
        where = {"xp_source": {"not_in": ["mission_reward"]}, **where}
    run = measure.get("consecutive_days") if isinstance(measure, dict) else None
    return {**objective, "where": where, "break_on": run["break_on"] if run else None}
