"""What logs show of a failure, a library and a request: never a word of what a person wrote."""

import asyncio
import json
import logging
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.exc import StatementError

from bot.actions.app import create_app as create_actions
from bot.gateway.app import create_app as create_gateway
from bot.gateway.settings import GatewaySettings
from llm_service.app import create_app as create_llm_service
from llm_service.errors import MaskingUnavailable
from llm_service.logs import configure_logging, get_logger
from llm_service.masked import RawText
from llm_service.store.session import open_database
from tests.conftest import MakeSettings

SECRET = "900101-1234567"


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """The product's logging, into a buffer; pytest's own comes back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    buffer = StringIO()
    configure_logging("test", "DEBUG", buffer)
    try:
        yield buffer
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()


def lines(logs: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logs.getvalue().splitlines()]


def fail(secret: str) -> None:
    kept_in_a_local = secret
    raise ValueError(f"cannot read {kept_in_a_local}")


def test_an_exception_is_its_class_its_code_and_where_it_was_raised(logs: StringIO) -> None:
    try:
        try:
            fail(SECRET)
        except ValueError as error:
            raise MaskingUnavailable(f"the masker failed on {SECRET}") from error
    except MaskingUnavailable:
        get_logger("part").exception("turn failed", turn_id="t1")
    (line,) = lines(logs)
    assert line["exception"]["class"] == "MaskingUnavailable"
    assert line["exception"]["code"] == "masking_unavailable"
    assert line["exception"]["cause"] == "ValueError"
    assert line["exception"]["frames"][-1].startswith("test_logs.py:")
    assert SECRET not in logs.getvalue()


def test_an_exception_of_a_library_is_shown_the_same_way(logs: StringIO) -> None:
    try:
        fail(SECRET)
    except ValueError:
        logging.getLogger("celery.worker").exception("Task %s raised", SECRET)
    (line,) = lines(logs)
    assert line["event"] == "Task %s raised"
    assert line["exception"]["class"] == "ValueError"
    assert SECRET not in logs.getvalue()


def test_a_value_that_json_does_not_know_shows_its_kind(logs: StringIO) -> None:
    get_logger("part").info("seen", raw=RawText(SECRET), error=ValueError(SECRET), body=SECRET.encode())
    (line,) = lines(logs)
    assert (line["raw"], line["error"], line["body"]) == ("<RawText>", "<ValueError>", "<bytes>")


LIBRARIES = (
    "uvicorn.error",
    "sqlalchemy.engine",
    "httpx",
    "httpcore",
    "asyncio",
    "celery.worker",
    "kombu",
    "new.library",
)
WAYS: dict[str, Callable[[logging.Logger], None]] = {
    "argument": lambda logger: logger.error("received %s", SECRET),
    "mapping": lambda logger: logger.error("received %(body)s", {"body": SECRET}),
    "finished string": lambda logger: logger.getChild("x").error(f"received {SECRET}"),
    "exception as message": lambda logger: logger.error(ValueError(f"{SECRET} %s"), 1),
    "extra": lambda logger: logger.error("received", extra={"body": SECRET}),
    "stack": lambda logger: logger.error("received", stack_info=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_library_logs_of_its_input_is_not_rendered(library: str, way: str, logs: StringIO) -> None:
    # uvicorn's messages without arguments are its own sentences; none of them has text in it.
    if (library, way) == ("uvicorn.error", "finished string"):
        library = "starlette"
    WAYS[way](logging.getLogger(library))
    (line,) = lines(logs)
    assert line["service"] == "test"
    assert SECRET not in logs.getvalue()


def test_the_traceback_of_a_failed_start_ends_in_our_own_words_or_in_none(logs: StringIO) -> None:
    opening = f"Traceback (most recent call last):\n  int({SECRET!r})\n"
    for last_line in (f"ValueError: {SECRET}", "llm_service.errors.Misconfigured: key_missing: set KEY"):
        traceback = opening + last_line
        logging.getLogger("uvicorn.error").error(traceback)
    assert SECRET not in logs.getvalue()
    assert lines(logs)[1]["event"] == "llm_service.errors.Misconfigured: key_missing: set KEY"


def test_uvicorn_says_nothing_of_requests_that_is_not_a_constant() -> None:
    for module in ("protocols/http/h11_impl.py", "protocols/http/httptools_impl.py", "server.py", "lifespan/on.py"):
        path = next(iter(uvicorn.__path__)) + "/" + module
        with open(path, encoding="utf-8") as source:
            written = source.read()
        assert "logger.warning(f" not in written, module
        assert "logger.error(f" not in written, module


def test_a_handler_that_a_library_brought_along_is_taken_away(logs: StringIO) -> None:
    own = StringIO()
    library = logging.getLogger("library.with.its.own.handler")
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False
    configure_logging("test", stream=logs)
    library.error("received %s", SECRET)
    assert own.getvalue() == ""
    assert lines(logs)[-1]["event"] == "received %s"


def test_warnings_show_where_and_not_what(logs: StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"odd input {SECRET}", UserWarning, stacklevel=1)
    assert lines(logs)[0]["logger"] == "py.warnings"
    assert SECRET not in logs.getvalue()


async def test_a_task_that_nobody_waited_for_shows_no_message(logs: StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": f"Task failed on {SECRET}", "exception": ValueError(SECRET)})
    assert lines(logs)[0]["logger"] == "asyncio"
    assert SECRET not in logs.getvalue()


def test_raw_text_shows_itself_nowhere() -> None:
    raw = RawText(SECRET)
    for shown in (repr(raw), str(raw), f"{raw}", f"{raw!r:>20}", f"{raw:>20}", "%s" % raw, "{}".format([raw])):  # noqa: UP031, UP032
        assert "<raw>" in shown
        assert SECRET not in shown
    for serialise in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError) as refused:
            serialise(raw)
        assert SECRET not in str(refused.value)
    assert not hasattr(raw, "__dict__")


def test_the_database_never_shows_parameters(logs: StringIO) -> None:
    logging.getLogger("sqlalchemy").setLevel(logging.DEBUG)
    engine = open_database("sqlite://")
    assert engine.hide_parameters
    assert not engine.echo
    with engine.connect() as connection, pytest.raises(Exception) as refused:  # noqa: PT011
        connection.execute(text("INSERT INTO nothing VALUES (:value)"), {"value": SECRET})
    engine.dispose()
    assert SECRET not in str(refused.value) + repr(refused.value) + logs.getvalue()
    with create_engine("sqlite://").connect() as naive, pytest.raises(Exception) as shown:  # noqa: PT011
        naive.execute(text("INSERT INTO nothing VALUES (:value)"), {"value": SECRET})
    assert SECRET in str(shown.value), "the check above would pass without the setting"
    assert isinstance(shown.value, StatementError)


APPLICATIONS: dict[str, Callable[[MakeSettings], FastAPI]] = {
    "actions": lambda _: create_actions("token"),
    "gateway": lambda _: create_gateway(GatewaySettings(service_token="t" * 32)),  # type: ignore[arg-type]
    "llm_service": lambda make: create_llm_service(make(), lambda: None),  # type: ignore[arg-type, return-value]
}


@pytest.fixture(params=APPLICATIONS)
def application(request: pytest.FixtureRequest, make_settings: MakeSettings) -> FastAPI:
    return APPLICATIONS[request.param](make_settings)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_application_records_requests_by_itself(application: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI's native telemetry puts validation failures, and so the input, into spans."""
    configured = application._telemetry
    assert not any(configured[part] for part in ("tracing", "metrics", "logs", "auto_configure"))
    assert not application._native_telemetry.enabled()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_application_shows_its_own_pages(application: FastAPI) -> None:
    assert application.openapi_url is None
    assert not application.debug


async def test_the_action_server_does_not_echo_what_it_cannot_read() -> None:
    transport = httpx.ASGITransport(create_actions("token"))
    async with httpx.AsyncClient(transport=transport, base_url="http://actions") as client:
        for body in ({"next_action": [SECRET]}, {SECRET: SECRET}, SECRET):
            reply = await client.post("/actions", json=body, headers={"Authorization": "Bearer token"})
            assert reply.status_code == 422
            assert SECRET not in reply.text
            assert SECRET not in str(reply.headers)


DYING = {
    "main": "raise ValueError(secret)",
    "thread": "import threading; t = threading.Thread(target=lambda: int(secret)); t.start(); t.join()",
    "finaliser": "class Odd:\n    def __del__(self): raise ValueError(secret)\nOdd()",
}


@pytest.mark.parametrize("way", DYING)
def test_a_process_dies_without_saying_why_in_words(way: str) -> None:
    script = (
        "from llm_service.logs import configure_logging, leave_no_text_behind\n"
        "configure_logging('dying'); leave_no_text_behind()\n"
        f"secret = '-'.join(('900101', '1234567'))\n{DYING[way]}\n"
    )
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    (line,) = (json.loads(line) for line in died.stderr.splitlines())
    assert line["exception"]["class"] == "ValueError"
    assert SECRET not in died.stderr + died.stdout


def test_a_process_leaves_no_core_file() -> None:
    script = (
        "import faulthandler, resource\nfrom llm_service.logs import leave_no_text_behind\n"
        "faulthandler.enable(); leave_no_text_behind()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), faulthandler.is_enabled())"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "(0, 0) False"


@pytest.mark.parametrize("module", ["bot/gateway/app.py", "llm_service/app.py", "bot/actions/app.py"])
def test_no_process_writes_an_access_log(module: str, pytestconfig: pytest.Config) -> None:
    source = (pytestconfig.rootpath / module).read_text(encoding="utf-8")
    for expected in ("access_log=False", "log_config=None", "configure_logging(", "leave_no_text_behind()"):
        assert expected in source, expected
