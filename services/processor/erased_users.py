"""The users who were erased, in the processor's memory: each batch asks the ledger for one number, whether there was another erasure."""

from collections.abc import Set as AbstractSet

from services.adapters.ledger.batch import BatchTransaction


class ErasedUsers:
    """Follows the ledger's register of erased users."""

    def __init__(self) -> None:
        self._mark = 0
        self._users: AbstractSet[str] = frozenset()

    async def look(self, transaction: BatchTransaction) -> AbstractSet[str]:
        """All users who are erased for this transaction: the erasures that come later wait until it has ended."""
        mark = await transaction.erasure_mark()
        if mark != self._mark:
            # The mark is older than the register that is read after it: one erasure too few is never taken for all.
            self._users, self._mark = await transaction.erased_users(), mark
        return self._users
