"""`haechi ask`, `search`, `mask` and `route`: one question, or a batch with --jsonl; how the platform is measured.

Shapes of a batch, one JSON object a line:
    ask     {"id", "question", "audience", "groups", "as_of"} → {"id", "answer", "sources": [...], "refused", "timings",
                                                                 "turn_id"}
    search  {"id", "question", "k", "groups"} → {"id", "results": [{"id", "document", "article", "page", "text",
                                                 "score"}], "refused"}
    mask    {"text"} → {"masked"}
    route   {"id", "text"} → {"id", "intent", "confidence"}
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, cast

import typer

from bot.gateway.client import GatewayError
from haechi.batch import CommandFailed, answer_lines, text_field, whole_number
from haechi.commands.explain import explain, release
from haechi.connection import Platform, platform
from haechi.intents import intents
from haechi.settings import PlatformSettings
from llm_service.client import Audience, ServiceError

MAXIMUM_RESULTS = 50  # what llm_service returns at most

Reply = dict[str, Any]
Ask = Callable[[Platform, Reply], Awaitable[Reply]]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]
AsLines = Annotated[
    bool, typer.Option("--jsonl", help="Read JSON lines from standard input. / 표준 입력에서 JSON 줄을 읽음")
]
AudienceOption = Annotated[str, typer.Option(help="staff or customer. / 직원 또는 고객")]
GroupsOption = Annotated[str, typer.Option(help="Groups of the asker, separated by commas. / 소속 그룹")]
AsOf = Annotated[str, typer.Option("--as-of", help="Day the answer is for, YYYY-MM-DD; today if empty. / 기준일")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    app.command("ask")(ask)
    app.command("search")(search)
    app.command("mask")(mask)
    app.command("route")(route)
    app.command("explain")(explain)
    app.command("release")(release)


def ask(
    question: Annotated[str, typer.Argument(help="The question. / 질문")] = "",
    audience: AudienceOption = "staff",
    groups: GroupsOption = "",
    as_of: AsOf = "",
    as_json: AsJson = False,
    as_lines: AsLines = False,
) -> None:
    """문서에 근거한 답을 받습니다. Ask a question and get a cited answer."""
    request = {"question": question, "audience": audience, "groups": groups, "as_of": as_of}
    _serve(ask_one, request, as_lines, print_json if as_json else print_answer)


def search(
    question: Annotated[str, typer.Argument(help="What to look for. / 찾을 내용")] = "",
    k: Annotated[int, typer.Option("-k", help="How many passages. / 구절 수")] = 5,
    audience: AudienceOption = "staff",
    groups: GroupsOption = "",
    as_of: AsOf = "",
    as_json: AsJson = False,
    as_lines: AsLines = False,
) -> None:
    """문서의 구절을 찾습니다. Find passages."""
    request = {"question": question, "k": k, "audience": audience, "groups": groups, "as_of": as_of}
    _serve(search_one, request, as_lines, print_json if as_json else print_hits)


def mask(
    text: Annotated[str, typer.Argument(help="Text to mask. / 가릴 글")] = "",
    as_json: AsJson = False,
    as_lines: AsLines = False,
) -> None:
    """개인정보를 가립니다. Replace personal data by placeholders."""
    _serve(mask_one, {"text": text}, as_lines, print_json if as_json else lambda reply: print(reply["masked"]))


def route(
    text: Annotated[str, typer.Argument(help="What a person typed. / 입력한 글")] = "",
    as_json: AsJson = False,
    as_lines: AsLines = False,
) -> None:
    """의도를 분류합니다. Which intent a text has."""
    asyncio.run(_route(text, as_json=as_json, as_lines=as_lines))


async def ask_one(found: Platform, request: Reply) -> Reply:
    """One question through the gateway, as a person's would go."""
    answer = await found.gateway.ask(
        text_field(request, "question"),
        audience=audience_of(request),
        as_of=day_of(request),
        groups=groups_of(request),
    )
    return {
        **({"id": request["id"]} if "id" in request else {}),
        "answer": answer.answer,
        "sources": [asdict(source) for source in answer.sources],
        "refused": answer.refused,
        "timings": answer.timings,
        # The handle is the asker's; what stands before its first dot is the turn, for `haechi explain`.
        "turn_id": answer.turn_id.split(".")[0],
    }


async def search_one(found: Platform, request: Reply) -> Reply:
    """Passages for one question."""
    result = await found.llm_service.search(
        text_field(request, "question"),
        audience_of(request),
        whole_number(request, "k", default=5, smallest=1, largest=MAXIMUM_RESULTS),
        day_of(request),
        groups_of(request),
    )
    hits = [asdict(hit) for hit in result.results]
    return {**({"id": request["id"]} if "id" in request else {}), "results": hits, "refused": result.refused}


async def mask_one(found: Platform, request: Reply) -> Reply:
    """One text without its personal data."""
    return {"masked": (await found.llm_service.mask(text_field(request, "text")))["masked"]}


async def _route(text: str, *, as_json: bool, as_lines: bool) -> None:
    async with intents(PlatformSettings()) as classify:

        async def route_one(request: Reply) -> Reply:
            intent = await classify(text_field(request, "text"))
            return {**({"id": request["id"]} if "id" in request else {}), **intent}

        if as_lines:
            raise typer.Exit(1 if await answer_lines(route_one) else 0)
        reply = await route_one({"text": text})
        print_json(reply) if as_json else print(f"{reply['intent']} {reply['confidence']:.3f}")


def _serve(answer: Ask, request: Reply, as_lines: bool, show: Callable[[Reply], None]) -> None:
    failed = asyncio.run(_serve_from_platform(answer, request, as_lines, show))
    raise typer.Exit(1 if failed else 0)


async def _serve_from_platform(answer: Ask, request: Reply, as_lines: bool, show: Callable[[Reply], None]) -> int:
    async with platform(PlatformSettings()) as found:

        async def answer_one(one: Reply) -> Reply:
            try:
                return await answer(found, one)
            except (ServiceError, GatewayError) as error:
                raise CommandFailed(error.code, error.message_ko or error.message) from None

        if as_lines:
            return await answer_lines(answer_one)
        show(await answer_one(request))
        return 0


def audience_of(request: Reply) -> Audience:
    """The audience of a request, staff unless told. Raises `CommandFailed` for anything else."""
    audience = request.get("audience") or "staff"
    if audience not in ("staff", "customer"):
        raise CommandFailed("audience_unknown", "audience is staff or customer")
    return cast(Audience, audience)


def groups_of(request: Reply) -> tuple[str, ...]:
    """The asker's groups, a list or names between commas. Raises `CommandFailed` for anything else."""
    groups = request.get("groups") or ()
    named = groups.split(",") if isinstance(groups, str) else groups
    if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        raise CommandFailed("groups_invalid", "groups is a list of names")
    return tuple(name.strip() for name in named)


def day_of(request: Reply) -> date | None:
    """The day a request is for, None for today. Raises `CommandFailed` for anything that is no date."""
    day = request.get("as_of")
    if not day:
        return None
    try:
        return date.fromisoformat(str(day))
    except ValueError:
        raise CommandFailed("as_of_invalid", "as_of is a date like 2026-11-21") from None


def print_json(reply: Reply) -> None:
    """One JSON object on standard output."""
    json.dump(reply, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")


def print_answer(reply: Reply) -> None:
    """An answer with its sources, for a person."""
    print(reply["answer"])
    for source in reply["sources"]:
        print(f"  [{source['number']}] {source['label']}")
    print(f"  haechi explain {reply['turn_id']}")


def print_hits(reply: Reply) -> None:
    """Passages for a person, best first."""
    for hit in reply["results"]:
        print(f"{hit['score']:.3f}  {hit['label']}\n       {hit['text'][:160]}")
    if reply["refused"]:
        print("(문서에서 답을 찾지 못했습니다 / the documents do not carry an answer)")
