"""Structured logs without text: ids, lengths, counts and kinds, as one JSON object a line on stderr.

Every process of ours calls `configure_logging` first. Whatever a library logs goes through the same JSON renderer,
which prints the class of an exception and where it was raised, never its message, its arguments or its locals.
"""

import faulthandler
import logging
import os
import resource
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

# Libraries that write what they were sent: full URLs (httpx), SQL parameters (sqlalchemy), bodies (httpcore).
QUIET_LOGGERS = (
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "sqlalchemy",
    "asyncio",
    "uvicorn.access",
    "presidio-analyzer",
    "alembic",
)

OWN_ERRORS = "llm_service.errors"
EventDict = MutableMapping[str, Any]


def configure_logging(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process through the text-free JSON renderer.

    `service` is stamped on each line (gateway, llm_service, actions ...).
    """
    output = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp(service),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            reduce_exception,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=_kind_of),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(_LibraryFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def leave_no_text_behind() -> None:
    """Let this process die without text: no core file, and whatever nobody caught is logged like everything else.

    For the beginning of `main`: the interpreter would print messages of uncaught exceptions, and a core file is the
    whole memory. A kernel that pipes core files to a program ignores the limit (core(5)); that is the host's setting.
    Files that hold text on purpose, the records say, are for the process's user alone.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()
    log = get_logger(__name__)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # Our own errors say what to do and never carry text; a start that fails needs that.
        advice = {"advice": str(error)} if kind.__module__ == OWN_ERRORS else {}
        log.error("process ended by a fault", exc_info=(kind, error, trace), **advice)

    def uncaught_in_thread(fault: threading.ExceptHookArgs) -> None:
        log.error("thread ended by a fault", exc_info=(fault.exc_type, fault.exc_value, fault.exc_traceback))

    def unraisable(fault: "sys.UnraisableHookArgs") -> None:
        log.error("fault while cleaning up", exc_info=(fault.exc_type, fault.exc_value, fault.exc_traceback))

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, uncaught_in_thread, unraisable


def get_logger(name: str) -> Any:
    """A structlog logger; pass ids, lengths, counts and kinds as keywords, never text."""
    return structlog.get_logger(part=name)


def reduce_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the exception's class, its code if it has one, and the frames, without any message."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[0] is not None:
        event["exception"] = describe_exception(info[0], info[1], info[2])
    return event


def describe_exception(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> dict[str, Any]:
    """Class name, stable code and `file:line function` of each frame; never the message or a local."""
    frames = [
        f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]
    described: dict[str, Any] = {"class": kind.__name__, "frames": frames[-8:]}
    code = getattr(error, "code", None)
    if isinstance(code, str):
        described["code"] = code
    if error is not None and error.__cause__ is not None:
        described["cause"] = type(error.__cause__).__name__
    return described


def _stamp(service: str) -> Any:
    def stamp(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return stamp


def _kind_of(value: object) -> str:
    return f"<{type(value).__name__}>"


class _LibraryFormatter(logging.Formatter):
    """Renders a library's record as its template without its arguments: arguments may be a person's words."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            "event": self._template(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "service": self._service,
        }
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = describe_exception(record.exc_info[0], record.exc_info[1], record.exc_info[2])
        return str(structlog.processors.JSONRenderer(ensure_ascii=False)(None, "", event))

    @staticmethod
    def _template(record: logging.LogRecord) -> str:
        # A template with arguments is the library's own sentence; one without may be a finished string with text in it.
        # What is no string at all, an exception for one, would show itself.
        if isinstance(record.msg, str) and (record.args or record.name.startswith("uvicorn")):
            last_line = record.msg.strip().rpartition("\n")[2]
            # uvicorn hands on the traceback of a failed start or stop as one text; our own errors end theirs safely.
            if last_line == record.msg.strip() or last_line.startswith(f"{OWN_ERRORS}."):
                return last_line
        return f"<message of {record.module}:{record.lineno}>"
