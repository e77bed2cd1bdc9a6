"""Why a partition can be stopped, and what an operator does about it: the words that alarms, commands and runbooks share."""

from enum import StrEnum


class StopReason(StrEnum):
    """Reason code of a stop. Codes are only ever added: alarms and runbooks rely on them."""

    meaning: str
    way_on: str
    """The command that lets it go on, once the cause is understood."""

    def __new__(cls, code: str, meaning: str = "", way_on: str = "") -> "StopReason":
        """Keep the words beside the code; `StopReason("dead_letter_flood")` alone looks one up."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.way_on = way_on
        return member

    FLOOD = (
        "dead_letter_flood",
        "too many of its records are bad: a publisher or a release is broken",
        "missions partitions resume",
    )
    RECREATED = (
        "topic_recreated",
        "the topic was deleted and made anew: its offsets begin again, and mean other records",
        "missions partitions restart",
    )
    TRUNCATED = (
        "log_truncated",
        "the position is beyond the end of the log: records that were applied are gone from it",
        "missions partitions restart",
    )
    LOST = (
        "records_lost",
        "retention has deleted records before they were applied",
        "missions partitions resume",
    )

    @property
    def needs_restart(self) -> bool:
        """Whether the account does not fit the log: only a new one lets the partition go on."""
        return self in (StopReason.RECREATED, StopReason.TRUNCATED)

    def command(self, topic: str, partition: int) -> str:
        """The command for one partition."""
        return f"{self.way_on} {topic}" if self.needs_restart else f"{self.way_on} {topic} {partition}"

    def line(self, topic: str, partition: int, detail: str) -> str:
        """What is wrong with a partition, and the command to go on."""
        return f"{self}: {detail}. To go on: {self.command(topic, partition)}"
