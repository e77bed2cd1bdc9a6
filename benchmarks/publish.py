"""Fills the input topics of all sides: every event to some, and to the slow ones every event of some of the users."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from services.adapters.kafka.producer import Outgoing, Publisher

from .events import Generated, user_id
from .world import Side

CHUNK_EVENTS = 5000


@dataclass(slots=True)
class Published:
    """What went to one side."""

    records: int = 0
    events: int = 0
    """Records without those that repeat an id."""


@dataclass(slots=True)
class Filled:
    """What was published, and the sample's events in their order, for the checks."""

    whole: Published = field(default_factory=Published)
    part: Published = field(default_factory=Published)
    of_user: dict[int, list[Generated]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SingleTopics:
    """One topic with all events, and one with those of every `every`-th user: for peers that keep their state by partition."""

    whole: str
    part: str
    every: int

    def of(self, user: int) -> tuple[str, ...]:
        """Where a user's events go."""
        return (self.whole, self.part) if user % self.every == 0 else (self.whole,)


async def publish(
    events: Iterable[Generated],
    whole: Side,
    part: Side | None = None,
    *,
    twin: Side | None = None,
    every: int = 1,
    sample: frozenset[int] = frozenset(),
    told: Callable[[int], None],
    single: SingleTopics | None = None,
) -> Filled:
    """Publishes to `whole` and, if there is one, to its `twin`, and what belongs to every `every`-th user to `part` too.

    Keeps the events of the users in `sample`.

    Taking users and not a stretch of the stream keeps the mix: each user has the same events on both sides.
    """
    filled = Filled()
    before: Generated | None = None
    async with Publisher(whole.addresses.kafka_bootstrap, client_id="benchmark", compression="lz4") as publisher:
        for chunk in _chunks(events):
            records = []
            for event in chunk:
                new = event is not before  # a repeated event follows itself
                before = event
                key = user_id(event.user).encode()
                records.append(Outgoing(whole.prefix + event.topic, key, event.value))
                _count(filled.whole, new)
                if twin is not None:
                    records.append(Outgoing(twin.prefix + event.topic, key, event.value))
                if part is not None and event.user % every == 0:
                    records.append(Outgoing(part.prefix + event.topic, key, event.value))
                    _count(filled.part, new)
                if single is not None:
                    records += [Outgoing(topic, key, event.value) for topic in single.of(event.user)]
                if event.user in sample:
                    filled.of_user.setdefault(event.user, []).append(event)
            await publisher.publish_all(records)
            told(filled.whole.records)
    return filled


def _count(published: Published, new: bool) -> None:
    published.records += 1
    published.events += new


def _chunks(events: Iterable[Generated]) -> Iterator[list[Generated]]:
    iterator = iter(events)
    while chunk := list(islice(iterator, CHUNK_EVENTS)):
        yield chunk
