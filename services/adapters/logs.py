"""Structured logs on stderr: JSON lines for machines, readable lines on a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from services.adapters.addresses import redact

Logger = structlog.stdlib.BoundLogger


def configure_logs(service: str, level: str = "INFO") -> None:
    """Sends this process's logs, and those of the libraries it uses, through one format. Call once, first."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
        _named(service),
    ]
    terminal = sys.stderr.isatty()
    # Plain tracebacks: the richer ones print local variables, and those may hold tokens.
    readable = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = readable if terminal else structlog.processors.JSONRenderer()

    def without_passwords(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        return redact(str(renderer(logger, method, event)))

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not terminal:
        final.append(structlog.processors.format_exc_info)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*final, without_passwords])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What these say at INFO describes their own doings once a second, not ours.
    for name in ("aiokafka", "faust", "mode", "httpx", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel("WARNING")


def get_logger(name: str) -> Logger:
    """A logger for one module."""
    logger: Logger = structlog.get_logger(name)
    return logger


def _named(service: str) -> Any:
    def add(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {"service": service, **event}

    return add
