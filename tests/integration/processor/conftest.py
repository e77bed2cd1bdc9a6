"""What several suites of the processor break."""

import pytest

from services.missions import decide as core
from services.missions.progress import apply as honest
from services.missions.state import UserState


@pytest.fixture
def thirteen_breaks_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core fails on an event with the amount 13, as a fault of ours would."""

    def apply(state: UserState, event_type: str, data: dict[str, object], *rest: object) -> object:
        if data.get("amount") == 13:
            raise ZeroDivisionError("thirteen")
        return honest(state, event_type, data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(core, "apply", apply)
