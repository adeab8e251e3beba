"""`haechi answers`: the kill switch without the console, for whoever holds the service token of the machine."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from getpass import getuser
from typing import Annotated

import typer

from haechi.connection import platform
from haechi.settings import PlatformSettings
from haechi.texts import sentence
from llm_service.operations_client import ControlsView, OperationsClient

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]
Note = Annotated[str, typer.Option(help="In words; masked before it is kept. / 메모")]
Person = Annotated[str, typer.Option("--person", help="Who acts; the user of this machine if not given. / 담당자")]
ROLES = ("admin",)


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="문서 기반 답변을 멈추고 다시 시작합니다. The kill switch.", no_args_is_help=True)
    group.command("status")(status)
    group.command("off")(off)
    group.command("on")(on)
    app.add_typer(group, name="answers")


def status(as_json: AsJson = False) -> None:
    """답변 중인지 보여줍니다. Whether answers are given, and who switched it why."""
    _print(_call("", lambda operations: operations.controls()), as_json=as_json)


def off(
    reason: Annotated[str, typer.Option(help="Why, as a code such as incident or wrong_answers. / 사유 코드")],
    note: Note = "",
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """답변을 멈춥니다. 정해진 답변과 상담원 연결은 그대로 됩니다. Give nobody an answer from documents."""
    switch = _call(person, lambda operations: operations.switch_answers(is_on=False, reason=reason, note=note))
    _print(switch, as_json=as_json)


def on(
    reason: Annotated[str, typer.Option(help="Why, as a code such as resolved or drill_over. / 사유 코드")],
    note: Note = "",
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """답변을 다시 시작합니다. Answer from documents again."""
    switch = _call(person, lambda operations: operations.switch_answers(is_on=True, reason=reason, note=note))
    _print(switch, as_json=as_json)


def _call(person: str, ask: Callable[[OperationsClient], Awaitable[ControlsView]]) -> ControlsView:
    async def asked() -> ControlsView:
        async with platform(PlatformSettings()) as found:
            return await ask(OperationsClient(found.llm_service, person or getuser(), ROLES))

    return asyncio.run(asked())


def _print(shown: ControlsView, *, as_json: bool) -> None:
    answers = shown.answers
    if as_json:
        typer.echo(json.dumps(asdict(answers), ensure_ascii=False))
        return
    typer.echo(sentence("answers_on") if answers.value else sentence("answers_off"))
    if answers.changed_at:
        typer.echo(f"  {answers.changed_at}  {answers.reason}  {answers.note or ''}".rstrip())
