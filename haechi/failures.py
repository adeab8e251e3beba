"""Turns the failures a command expects into one line for a person and exit status 1; faults of ours stay faults."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from bot.gateway.client import GatewayError
from haechi.batch import CommandFailed
from haechi.start import StartFailed
from llm_service.client import ServiceError
from llm_service.errors import HaechiError

Given = ParamSpec("Given")
Returned = TypeVar("Returned")
EXPECTED = (CommandFailed, StartFailed, ServiceError, GatewayError, HaechiError, FileNotFoundError, ValidationError)


def reports_failures(command: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """The command, ending with one line on standard error and status 1 where it fails for a reason it expects."""

    @functools.wraps(command)
    def run(*given: Given.args, **named: Given.kwargs) -> Returned:
        try:
            return command(*given, **named)
        except EXPECTED as failure:
            typer.secho(_line(failure), fg="red", err=True)
            raise typer.Exit(1) from None

    return run


def _line(failure: Exception) -> str:
    if isinstance(failure, ServiceError | GatewayError):
        return f"{failure.message_ko or failure.message} ({failure.code})"
    if isinstance(failure, CommandFailed | HaechiError):
        return f"{failure.message} ({failure.code})"
    if isinstance(failure, ValidationError):
        # Settings alone are validated here, and some of them are secrets: their names and what is wrong, no values.
        wrong = failure.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"HAECHI_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in wrong)
    return str(failure)
