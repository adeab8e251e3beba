"""Logs of the Rasa process: one JSON line an event, and never a word a person wrote.

Rasa puts message texts, slots and the locals of every frame into its error logs. So of a foreign record only the place
in the code, the level and the class of the exception are written; the message is kept for our own loggers alone.
"""

import json
import logging
import os
import re
import resource
import sys
from collections.abc import MutableMapping
from datetime import datetime, timezone
from typing import Any

import structlog

OWN_LOGGERS = "bot.rasa"
_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")


class PlaceOnlyFormatter(logging.Formatter):
    """Formats a record as JSON without arguments, locals or, for foreign loggers, its message."""

    def format(self, record: logging.LogRecord) -> str:
        own = record.name == OWN_LOGGERS or record.name.startswith(f"{OWN_LOGGERS}.")
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat("T", "milliseconds"),  # noqa: UP017 Python 3.10
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if own else f"{record.module}:{record.lineno}",
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)


def configure_logs() -> None:
    """Take over logging, structlog and uncaught warnings for this process. Level INFO, to standard output.

    The process leaves no core file either: that would be its whole memory, conversations included. What it writes is
    for its user alone.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(PlaceOnlyFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
    for chatty in ("apscheduler", "matplotlib", "asyncio", "sanic.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.processors.add_log_level, _event_name_only],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _event_name_only(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """The dotted name of a structlog event; its values, and messages that are no such name, are dropped."""
    name = str(event.get("event", ""))
    return name if _EVENT_NAME.fullmatch(name) else "unnamed"
