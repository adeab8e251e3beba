"""`haechi up`, `status`, `doctor` and `settings`: the platform as a whole on one machine."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from haechi.commands import answers, directory, teams
from haechi.commands.demo_loop import demo_loop
from haechi.connection import is_listening, platform
from haechi.later import later
from haechi.settings import PlatformSettings

if TYPE_CHECKING:
    from haechi.doctor import Finding

examination, page, start = later("haechi.doctor"), later("haechi.settings_page"), later("haechi.start")

INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    app.command("up")(up)
    app.command("status")(status)
    app.command("doctor")(doctor)
    app.command("settings")(settings)
    app.command("demo-loop")(demo_loop)
    answers.register(app)
    directory.register(app)
    teams.register(app)


def up(
    once: Annotated[bool, typer.Option("--once", help="Ask one question and stop. / 질문 하나 뒤 종료")] = False,
    documents: Annotated[
        list[str] | None,
        typer.Option(help="FOLDER or FOLDER=AUDIENCE to ingest besides the samples. / 추가로 적재할 폴더"),
    ] = None,
) -> None:
    """플랫폼을 시작하고 질문 하나를 해 봅니다. Start the platform and ask it one question."""
    console = Console()
    try:
        answered = asyncio.run(start.start_and_ask(PlatformSettings(), documents or [], once=once, console=console))
    except KeyboardInterrupt:
        # Ctrl-C is how a platform that stays is stopped; a single question was then not answered.
        raise typer.Exit(INTERRUPTED if once else 0) from None
    if answered.refused or not answered.sources:
        typer.secho("답에 근거가 없습니다 / the answer cites no source", fg="red", err=True)
        raise typer.Exit(1)


def status(as_json: AsJson = False) -> None:
    """무엇이 돌고 있는지 보여줍니다. What runs, and whether it is ready."""
    found = asyncio.run(_status(PlatformSettings()))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _print_status(found)
    raise typer.Exit(0 if found["ready"] else 1)


def doctor(as_json: AsJson = False) -> None:
    """빠진 것과 대역을 알려줍니다. What is missing, and what is a stand-in."""
    findings = examination.examine(PlatformSettings())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        _print_findings(findings)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


def settings() -> None:
    """모든 설정을 Markdown으로 보여줍니다. Every setting, as the page docs/settings.md prints it."""
    typer.echo(page.settings_page(), nl=False)


async def _status(chosen: PlatformSettings) -> dict[str, Any]:
    if not is_listening(chosen.gateway_port) or not is_listening(chosen.llm_service_port):
        return {"running": False, "ready": False, "parts": {}}
    async with platform(chosen) as found:
        gateway = await found.gateway.ready()
        llm_service = await found.llm_service.ready()
    ready = bool(gateway.get("ready")) and bool(llm_service.get("ready"))
    parts = {**llm_service.get("parts", {}), **gateway.get("parts", {})}
    return {"running": True, "ready": ready, "parts": parts, "url": chosen.gateway_url}


def _print_status(found: dict[str, Any]) -> None:
    if not found["running"]:
        typer.echo("The platform is not running; start it with `make run`. / 플랫폼이 꺼져 있습니다.")
        return
    table = Table("part", "state", title=found["url"])
    for part, state in sorted(found["parts"].items()):
        table.add_row(part, str(state))
    Console().print(table)


def _print_findings(findings: "list[Finding]") -> None:
    colours = {"ok": "green", "stand-in": "yellow", "missing": "red"}
    # fold: the default cuts a line whose last wide character ends one cell too far.
    table = Table("part", "state", Column("what it means", overflow="fold"))
    for finding in findings:
        table.add_row(finding.part, f"[{colours[finding.state]}]{finding.state}[/]", finding.meaning)
    Console().print(table)
