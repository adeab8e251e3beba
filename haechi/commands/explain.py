"""`haechi explain` and `haechi release`: how one answer came about, and a document held back let into the answers.

Reading another person's turn is audited by the service; nothing here decides who may.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer

from haechi.connection import Platform, platform
from haechi.settings import PlatformSettings
from llm_service.client import Explanation

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]
Reply = TypeVar("Reply")


def explain(
    turn: Annotated[str, typer.Argument(help="The turn's id, 32 hexadecimal digits. / 턴 번호")],
    as_json: AsJson = False,
) -> None:
    """답변 하나가 나온 과정을 모두 보여줍니다. The whole story of one answer; reading it is audited."""
    # A person's handle of a turn begins with the turn's id.
    told = _served(lambda found: found.llm_service.explanation(turn.split(".")[0]))
    typer.echo(json.dumps(asdict(told), ensure_ascii=False) if as_json else "\n".join(_story(told)))


def release(
    document: Annotated[int, typer.Argument(help="The document's id. / 문서 번호")],
    reason: Annotated[str, typer.Option(help="Why, as a code: reviewed, training_material. / 사유 코드")] = "",
) -> None:
    """격리된 문서의 문제 구절을 보여주고 사유가 있으면 풉니다. Why a document is held back; a reason releases it."""
    for passage in _served(lambda found: found.llm_service.flagged_passages(document)):
        typer.echo(f"[{passage.position}] {passage.label}  ({', '.join(passage.families)})\n    {passage.text}")
    if not reason:
        typer.echo("풀려면 --reason 이 필요합니다. / Give --reason to release it.", err=True)
        return
    _served(lambda found: found.llm_service.release_document(document, reason))
    typer.echo(f"{document}: ready")


def _served(call: Callable[[Platform], Awaitable[Reply]]) -> Reply:
    async def serve() -> Reply:
        async with platform(PlatformSettings()) as found:
            return await call(found)

    return asyncio.run(serve())


def _story(told: Explanation) -> Iterator[str]:
    route, filters = told.route, told.filters
    yield f"turn       {told.turn_id}  {told.state}  {told.channel}  {told.asked_at}"
    yield f"question   {told.question}"
    reason = f" ({route['reason']})" if route["reason"] else ""
    yield f"route      {route['intent']} {_rounded(route['confidence'])} by {route['by']}{reason}"
    yield f"terms      {' '.join(told.query_terms)}"
    groups = ",".join(filters["groups"]) or "-"
    yield f"filters    audience {filters['audience']}, groups {groups}, as of {filters['as_of']}"
    threshold = _rounded(told.refusal_threshold)
    yield f"confidence {_rounded(told.confidence)} (refused below {threshold})  {_pairs(told.features)}"
    for place, candidate in enumerate(told.candidates, start=1):
        yield f"  {place}. {_rounded(candidate['score'])}  {candidate['label']}  {_pairs(candidate.get('signals', {}))}"
    yield f"engine     {told.engine or '-'}  prompt {told.prompt_sha256 or 'none'}  adapter {told.adapter or 'none'}"
    for verdict in told.verdicts:
        mark = "passed" if verdict["passed"] else "cut: " + ", ".join((*verdict["failures"], *verdict["unsupported"]))
        yield f"  {mark}  {_rounded(verdict['entailment'])}  {verdict['sentence']}"
    if told.refusal_reason or told.error_code:
        yield f"ended      {told.refusal_reason or told.error_code}"
    yield f"answer     {told.answer or '-'}"
    yield from (f"  [{source.number}] {source.label}" for source in told.sources)
    if told.fallbacks:
        yield f"without    {', '.join(told.fallbacks)}"
    yield f"timings    {_pairs(told.timings)} (ms); retrieval: {_pairs(told.retrieval_timings)}"


def _pairs(numbers: dict[str, float]) -> str:
    return " ".join(f"{name} {_rounded(value)}" for name, value in numbers.items())


def _rounded(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"
