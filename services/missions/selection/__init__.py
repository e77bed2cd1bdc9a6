"""The dynamic question selector: which questions a user should get next, and why. Pure, like all of the core."""

from .purposes import COUNT_MAX, Purpose, UnknownPurpose, parse_purpose
from .questions import Question, QuestionCatalogue
from .select import Reason, Selected, candidates, select
from .situation import Situation, history_start
from .topics import TopicStatistics, topic_statistics, weak_topics

__all__ = [
    "COUNT_MAX",
    "Purpose",
    "Question",
    "QuestionCatalogue",
    "Reason",
    "Selected",
    "Situation",
    "TopicStatistics",
    "UnknownPurpose",
    "candidates",
    "history_start",
    "parse_purpose",
    "select",
    "topic_statistics",
    "weak_topics",
]
