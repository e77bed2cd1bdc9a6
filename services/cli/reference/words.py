"""What the models can't say by themselves: a line on each word that a definition may use."""

from collections.abc import Mapping

MISSION_KEYS: Mapping[str, str] = {
    "id": "Its name, for ever. A definition with the same id is a newer version of the mission.",
    "version": "Counted when it is published; leave it out.",
    "type": "What kind of mission the app shows it as.",
    "title": "One text by locale, such as `{en: …, de: …}`. `{target}` in it stands for the target of the only objective.",
    "description": "The same, longer.",
    "period": "How often it comes and how long it lasts: see [periods](#periods).",
    "opens_at": "Season only: the first instant, as RFC 3339 with an offset.",
    "closes_at": "Season only: the first instant after it.",
    "objectives": "What is to be done: see [objectives](#objectives).",
    "require": "How many of the objectives: see [require](#require).",
    "audience": "Who gets it: see [audience](#audience).",
    "requires": "Ids of missions that the user must have claimed before: see [requires](#requires).",
    "parameters": "Values of `$name` operands for users of whom no own value is known: see [parameters](#parameters).",
    "rewards": "What a claim grants: see [rewards](#rewards).",
    "claim": "How long completed rewards wait: see [claim](#claim).",
    "fit": "Asks for what there is: see [fit](#fit).",
    "otherwise": "The mission that takes its place for a user whom it does not fit: see [otherwise](#otherwise).",
    "stand_in": "Issued only in the place of missions that name it as `otherwise`.",
}

OBJECTIVE_KEYS: Mapping[str, str] = {
    "id": "Its name within the mission; the app gets progress by it.",
    "event": "The type of the events that can count: see [events](events.md).",
    "where": "Which of them count: see [conditions](conditions.md). Without it, all.",
    "measure": "What an event adds: see [measures](measures.md).",
    "target": "How much is needed. Progress stops there.",
}

FIT_KEYS: Mapping[str, str] = {
    "to": "The fact that the target is lowered to.",
    "at_least": "With less than this the mission is not issued.",
}

CLAIM_KEYS: Mapping[str, str] = {
    "grace_days": "Days after the end of the period in which a completed mission can still be claimed.",
    "then": "What becomes of it after that.",
}

PERIODS: Mapping[str, str] = {
    "daily": "From local midnight to local midnight of the user's zone; a new assignment each day.",
    "weekly": "From local Monday to local Monday; a new assignment each week.",
    "once": "From the day on which it was issued, without an end; each user gets it once.",
    "season": "From `opens_at` to `closes_at`, the same instants for everybody; each user gets it once a season.",
}

AFTER_GRACE: Mapping[str, str] = {
    "forfeit": "A claim after the grace is refused: the rewards are lost.",
    "auto_claim": "At the end of the grace the rewards are granted by themselves.",
}

OPERATORS: Mapping[str, str] = {
    "equals": "The value is this one; written as the bare value.",
    "in": "The value is one of a list, or of a `$parameter` that is a list.",
    "not_in": "There is a value, and it is none of a list.",
    "gt": "The value is greater.",
    "gte": "The value is greater or equal.",
    "lt": "The value is less.",
    "lte": "The value is less or equal.",
    "exists": "`true`: there is a value; `false`: there is none. An event without the field fails every other operator.",
}

MEASURES: Mapping[str, str] = {
    "count": "Each event adds one.",
    "sum": "Each event adds the value of an integer field; an event without a positive one adds nothing.",
    "distinct": "Each different value of a text field adds one.",
    "max": "The greatest value that a number field had.",
    "consecutive_days": "The longest run of the user's local days with at least one event each.",
}

HISTORY_FACTS: Mapping[str, str] = {
    "history.open_mistake": "The user's last answer to this question was wrong. A mistake counts once: the right answer closes it.",
    "history.mistake_age_days": "Local days of the user since that mistake: 0 is today, 1 yesterday. Absent without an open one.",
    "history.days_since_seen": "Local days since the user last answered this question. Absent when they never did.",
    "history.topic_weak": "The question's topic is one of the user's weak ones.",
}

AUDIENCE_FACTS: Mapping[str, str] = {
    "days_active": "Local days with at least one event, the day that the period begins on included: 1 is the user's first day.",
    "languages": "Languages that the user has learnt in.",
    "language": "The language of the newest lesson.",
    "chapter": "The chapter of the newest lesson.",
    "open_mistakes": "Questions whose last answer was wrong.",
    "mistakes_yesterday": "Those among them that were made on the local day before.",
    "questions_seen": "Different questions answered, ever.",
    "current_streak": "Days of the streak.",
    "chapters_completed": "Different chapters completed, over all languages.",
    "units_completed": "Different units completed, over all languages.",
    "zone": "IANA name of the user's time zone; `UTC` until it is known.",
}

PARAMETERS: Mapping[str, str] = {
    "current_chapter": "The chapter of the user's newest lesson.",
    "language": "The language of the user's newest lesson.",
    "weak_topics": "The user's weak topics, the weakest first.",
}
