"""Structured logs: one JSON object a line, with the request's and the trip's id, and never personal data.

configure()                        once per process
with bound(request_id=…): …        everything logged inside says so
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import structlog

# A field of one of these names is a slip: it is blacked out here rather than written to a disk somewhere.
_PRIVATE: Final = frozenset(
    {
        "address",
        "authorization",
        "birth_date",
        "body",
        "card",
        "cookie",
        "display_name",
        "email",
        "ip",
        "name",
        "password",
        "phone",
        "secret",
        "text",
        "token",
        "user_agent",
    }
)


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers to one stream as JSON lines. Twice equals once."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        black_out,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            black_out,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Our own line per request says more and shows less than these.
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in ("alembic.runtime.plugins", "httpx2", "httpcore2", "stripe"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def black_out(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Structlog processor: no personal data and no secret, whoever logs it."""
    for field in event:
        if field in _PRIVATE:
            event[field] = "(not logged)"
    return event


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Put facts (ids) on everything logged inside, in this task or thread."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield
