"""What can go wrong with Kafka, each said with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from services.adapters.refusals import ServerRefuses


class KafkaProblem(Exception):
    """Base of the adapter's errors."""


class BrokerUnreachable(KafkaProblem):
    """No broker answers."""

    def __init__(self, bootstrap: str, cause: BaseException | None = None) -> None:
        super().__init__(
            f"no Kafka broker answers at {bootstrap}{f' ({cause})' if cause else ''}: "
            "start it, or set MISSIONS_KAFKA_BOOTSTRAP to where it is"
        )
        self.bootstrap = bootstrap


class BrokerRefuses(BrokerUnreachable, ServerRefuses):
    """A broker answers and does not let us in. At the start that is the end; later it may pass, as a password is changed."""

    def __init__(self, bootstrap: str, refusal: ServerRefuses) -> None:
        ServerRefuses.__init__(self, refusal.problem, refusal.fix)
        self.bootstrap = bootstrap


class TopicsMissing(KafkaProblem):
    """Topics that a role needs are not there, or may not be seen by it."""

    def __init__(self, topics: Sequence[str], bootstrap: str) -> None:
        super().__init__(
            f"Kafka at {bootstrap} lacks the topics {', '.join(sorted(topics))}, "
            "or does not let this user see them: run `missions topics apply`, or grant what `missions topics acls` shows"
        )
        self.topics = sorted(topics)


class TopicChanged(KafkaProblem):
    """A topic out is not the one that was published to before: nothing more is published until an operator says so."""

    @classmethod
    def made_anew(cls, topic: str) -> TopicChanged:
        """It has another id than the one that was published to."""
        return cls(
            f"{topic} was deleted and made anew since it was published to, and what was in it is gone. To go on with it: "
            f"missions partitions restart {topic} --confirm (docs/runbooks/output_topic_changed.md)"
        )

    @classmethod
    def repartitioned(cls, topic: str, before: int, now: int) -> TopicChanged:
        """Another number of partitions would send a user's messages elsewhere."""
        return cls(
            f"{topic} had {before} partitions and has {now}: a user's messages would change theirs. To go on: "
            f"MISSIONS_OUTPUT_PARTITIONS={now} for every role, and start them again (docs/runbooks/output_topic_changed.md)"
        )


class WorkerFailed(KafkaProblem):
    """The worker has ended by itself; a restart is safe."""


class PublishFailed(KafkaProblem):
    """It is not known whether something was published: drop the publisher and look at the topic."""


class PublisherFenced(PublishFailed):
    """Another publisher has taken over the transactional id: this one must stop."""
