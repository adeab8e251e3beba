"""The action server: what Rasa's rules call, over HTTP and at once.

Rasa gives a turn one minute and blocks on the answer, so nothing here waits for anything. Answers, hand-offs and
feedback need no action: they are tickets in Rasa's domain, and the gateway acts on them.
"""

import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from bot.actions.loan_form import forget_values, show_result, validate_loan_form
from bot.actions.protocol import ActionCall, ActionReply, Tracker
from llm_service.logs import configure_logging, leave_no_text_behind

TOKEN_NAME: Final = "haechi_service_token"  # noqa: S105 the name of a secret, not the secret
DEFAULT_HOME: Final = ".haechi"
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8082
ACTIONS: Final[dict[str, Callable[[Tracker], ActionReply]]] = {
    "validate_loan_form": validate_loan_form,
    "action_loan_result": show_result,
    "action_loan_reset": forget_values,
}


class TokenMissing(Exception):
    """The service token is neither in the environment nor in the secrets directory."""


def create_app(token: str) -> FastAPI:
    """The server as an ASGI application. `token` is what Rasa has to present."""
    # FastAPI's own telemetry would record validation failures, which quote the slots that were sent.
    app = FastAPI(
        title="Haechi actions",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    expected = f"Bearer {token}".encode()

    def authenticate(request: Request) -> None:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, {"code": "unauthorised"})

    @app.post("/actions", dependencies=[Depends(authenticate)])
    def run_action(call: ActionCall) -> ActionReply:
        action = ACTIONS.get(call.next_action)
        if action is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, {"code": "unknown_action"})
        return action(call.tracker)

    @app.get("/health/live")
    def live() -> dict[str, str]:
        return {"status": "ok"}

    app.add_exception_handler(RequestValidationError, _refuse_without_echo)
    return app


async def _refuse_without_echo(_: Request, __: Exception) -> JSONResponse:
    """FastAPI's own answer quotes the request, and Rasa would print it into its log."""
    return JSONResponse({"code": "malformed_call"}, status.HTTP_422_UNPROCESSABLE_CONTENT)


def read_token() -> str:
    """From HAECHI_SERVICE_TOKEN, else from HAECHI_SECRETS_DIRECTORY or the one in HAECHI_HOME. Raises TokenMissing."""
    given = os.environ.get(TOKEN_NAME.upper(), "").strip()
    at_home = Path(os.environ.get("HAECHI_HOME", DEFAULT_HOME)) / "secrets"
    path = Path(os.environ.get("HAECHI_SECRETS_DIRECTORY") or at_home) / TOKEN_NAME
    if not given and path.is_file():
        given = path.read_text(encoding="ascii").strip()
    if not given:
        raise TokenMissing(
            f"Set {TOKEN_NAME.upper()}, or put the token into the file {TOKEN_NAME} of HAECHI_SECRETS_DIRECTORY"
            " or of the folder secrets of HAECHI_HOME"
        )
    return given


def main() -> None:
    host = os.environ.get("HAECHI_ACTIONS_HOST", DEFAULT_HOST)
    port = int(os.environ.get("HAECHI_ACTIONS_PORT", DEFAULT_PORT))
    app = create_app(read_token())
    configure_logging("actions")
    leave_no_text_behind()
    # uvicorn's own formatter would print messages of exceptions, and those may quote a slot.
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
