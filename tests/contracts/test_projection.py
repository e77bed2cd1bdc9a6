"""What everybody relies on in the projection, on Redis in memory and on a real one."""

from services.adapters.projection import Projection
from services.missions.state import UserState


def state(version: int, stamp: int = 1, user: str = "ann") -> UserState:
    return UserState(user, version, stamp)


async def test_states_go_forward_only(any_projection: Projection) -> None:
    await any_projection.store([state(3), state(1, user="bob")])
    for other in (state(2), state(3, stamp=2)):
        await any_projection.store([other])
        assert await any_projection.load(["ann", "bob", "nobody"]) == {"ann": state(3), "bob": state(1, user="bob")}

    await any_projection.store([state(10, stamp=2)])

    assert await any_projection.load(["ann"]) == {"ann": state(10, stamp=2)}


async def test_only_the_version_named_is_discarded(any_projection: Projection) -> None:
    await any_projection.store([state(3), state(1, user="bob")])

    await any_projection.discard([("ann", 2), ("bob", 1), ("nobody", 1)])
    assert await any_projection.load(["ann", "bob"]) == {"ann": state(3)}
    await any_projection.discard([("ann", 4), ("ann", 3)])
    assert await any_projection.load(["ann"]) == {}

    await any_projection.store([state(2)])
    assert await any_projection.load(["ann"]) == {"ann": state(2)}, "what was discarded guards nothing"


async def test_nothing_is_asked_and_nothing_stored_for_nobody(any_projection: Projection) -> None:
    assert await any_projection.load([]) == {}
    await any_projection.store([])
    await any_projection.discard([])
    await any_projection.ping()
