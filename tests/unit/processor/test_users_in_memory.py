"""What the processor remembers of users: at most so many, one batch's at a time, never an older state than it knew."""

from services.missions.state import UserState
from services.processor.users_in_memory import UsersInMemory


def states(*pairs: tuple[str, int]) -> list[UserState]:
    return [UserState(user_id, version=version) for user_id, version in pairs]


def test_a_state_that_was_taken_is_not_there_for_another_batch() -> None:
    users = UsersInMemory(10)
    users.keep(states(("ada", 1), ("bea", 4)))

    assert users.take(["ada", "cyd"]).keys() == {"ada"}
    assert users.take(["ada", "bea"]).keys() == {"bea"}
    assert len(users) == 0


def test_those_that_were_not_used_for_longest_leave_first() -> None:
    users = UsersInMemory(2)
    users.keep(states(("ada", 1), ("bea", 1)))
    users.keep(users.take(["ada"]).values())

    users.keep(states(("cyd", 1)))

    assert users.take(["ada", "bea", "cyd"]).keys() == {"ada", "cyd"}


def test_of_two_batches_the_newer_state_stays_whichever_comes_last() -> None:
    users = UsersInMemory(10)
    users.keep(states(("ada", 3)))
    users.keep(states(("ada", 2)))

    assert users.take(["ada"])["ada"].version == 3


def test_without_room_nothing_is_kept() -> None:
    users = UsersInMemory(0)
    users.keep(states(("ada", 1)))

    assert users.take(["ada"]) == {}


def test_all_can_be_forgotten() -> None:
    users = UsersInMemory(10)
    users.keep(states(("ada", 1)))
    users.forget()

    assert users.take(["ada"]) == {}
