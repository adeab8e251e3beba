"""`haechi changes` and `haechi retest`: what a new edition changed, and which approved answers still stand."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer

from haechi.connection import platform
from haechi.settings import PlatformSettings
from llm_service.client import ChangedClause, DocumentChanges, LlmServiceClient, RetestReport

Returned = TypeVar("Returned")
DocumentId = Annotated[int, typer.Argument(metavar="DOCUMENT", help="Its number in `haechi documents`. / 문서 번호")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]

KINDS = {"added": "신설 / added", "removed": "삭제 / removed", "changed": "변경 / changed"}
STATES = {"still_right": "유지 / still right", "changed": "변경 / changed", "gone": "소멸 / gone"}
WORD_SIGNS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


def changes(document: DocumentId, as_json: AsJson = False) -> None:
    """개정으로 바뀐 조문을 보여줍니다. The clauses that an edition changed of the one before it."""
    found = _call(lambda service: service.document_changes(document))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    _show_changes(found)


def retest(document: DocumentId, as_json: AsJson = False) -> None:
    """바뀐 조문을 인용한 승인된 답변을 다시 확인합니다. Ask approved questions again that cite changed clauses."""
    report = _call(lambda service: service.retest_document(document))
    if as_json:
        typer.echo(json.dumps(asdict(report), ensure_ascii=False))
        return
    _show_report(report)


def _show_changes(found: DocumentChanges) -> None:
    before = f"{found.previous_in_force_from} → " if found.previous_in_force_from else ""
    typer.echo(f"{found.title}  {before}{found.in_force_from}")
    if found.previous_id is None:
        typer.echo("이전 판이 없습니다 / there is no edition before it")
    for clause in found.clauses:
        typer.echo(f"{KINDS[clause.kind]:18} {clause.place} {clause.mark}".rstrip())
        if clause.kind == "changed":
            typer.echo(f"    {_marked_words(clause)}")


def _marked_words(clause: ChangedClause) -> str:
    return " ".join(WORD_SIGNS[word.kind].format(word.text) for word in clause.words)


def _show_report(report: RetestReport) -> None:
    counted = ", ".join(f"{STATES[state]} {count}" for state, count in report.counts.items())
    typer.echo(f"{report.as_of}  {counted}")
    for answer in report.answers:
        typer.echo(f"{STATES[answer.state]:22} {answer.question}  ({', '.join(answer.clauses)})")
        if answer.state == "changed":
            typer.echo(f"    - {answer.approved_answer}\n    + {answer.new_answer}")


def _call(ask: Callable[[LlmServiceClient], Awaitable[Returned]]) -> Returned:
    return asyncio.run(_on_platform(ask))


async def _on_platform(ask: Callable[[LlmServiceClient], Awaitable[Returned]]) -> Returned:
    async with platform(PlatformSettings()) as found:
        return await ask(found.llm_service)
