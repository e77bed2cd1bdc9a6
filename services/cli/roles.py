"""`missions processor | claims | relay | api | scheduler`: one process of one role."""

from collections.abc import Callable

from services.adapters.logs import configure_logs
from services.adapters.watchdog import watched
from services.cli.run import run, settings_of


def processor() -> None:
    """Match learning events against missions and keep progress (Kafka -> ledger -> projection)."""
    from services.processor.app import run as run_role
    from services.processor.settings import ProcessorSettings

    configure_logs("processor")
    run(watched(run_role(settings_of(ProcessorSettings))))


def claims() -> None:
    """Turn completed missions into rewards: POST /missions/claim."""
    from services.claims.app import run as run_role
    from services.claims.settings import ClaimsSettings

    configure_logs("claims")
    run(watched(run_role(settings_of(ClaimsSettings))))


def relay() -> None:
    """Publish what the ledger has committed to the missions.* topics."""
    from services.relay.app import run as run_role
    from services.relay.settings import RelaySettings

    configure_logs("relay")
    run(watched(run_role(settings_of(RelaySettings))))


def api() -> None:
    """Serve GET /missions and the other calls of apps and upstreams."""
    from services.api.app import run as run_role
    from services.api.settings import ApiSettings

    configure_logs("api")
    run(watched(run_role(settings_of(ApiSettings))))


def scheduler() -> None:
    """Issue missions at each user's midnight, and end what is over."""
    from services.scheduler.app import run as run_role
    from services.scheduler.settings import SchedulerSettings

    configure_logs("scheduler")
    run(watched(run_role(settings_of(SchedulerSettings))))


COMMANDS: dict[str, Callable[[], None]] = {
    "processor": processor,
    "claims": claims,
    "relay": relay,
    "api": api,
    "scheduler": scheduler,
}
