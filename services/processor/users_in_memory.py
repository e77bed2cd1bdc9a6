"""The states of the users who were active last, in the processor's memory: they need not be fetched and decoded for each batch.

They are guesses, as those of the projection are: the ledger compares version and stamp of every user of a batch before it commits, and
whoever has moved is read from it again. So nothing has to tell this memory of claims, of the scheduler or of other processors.
"""

from collections.abc import Iterable

from services.missions.state import UserState


class UsersInMemory:
    """States by user, at most `limit`; those that were not used for the longest time leave first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[str, UserState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def take(self, user_ids: Iterable[str]) -> dict[str, UserState]:
        """Takes out those of these users that are there. Deciding changes a state in place, so it belongs to one batch alone:
        `keep` brings it back once it is true, and if the batch fails it is gone."""
        states = self._states
        return {user_id: states.pop(user_id) for user_id in user_ids if user_id in states}

    def keep(self, states: Iterable[UserState]) -> None:
        """Keeps states that the ledger has committed; of two batches about one user, the newer one's."""
        if self._limit == 0:
            return
        known = self._states
        for state in states:
            before = known.pop(state.user_id, None)
            known[state.user_id] = state if before is None or before.version <= state.version else before
        while len(known) > self._limit:
            del known[next(iter(known))]

    def forget(self) -> None:
        """Forgets all: others work on these users from now on."""
        self._states.clear()
