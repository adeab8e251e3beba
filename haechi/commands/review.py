"""`haechi review`: the queue of examples, as a reviewer or an approver works on it without the console."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from getpass import getuser
from typing import Annotated, TypeVar

import typer

from haechi.connection import platform
from haechi.settings import PlatformSettings
from llm_service.learning_client import LearningClient, ReviewItemView

Returned = TypeVar("Returned")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON. / JSON으로 출력")]
Person = Annotated[str, typer.Option("--person", help="Who acts; the user of this machine if not given. / 담당자")]
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="Its id, or how it begins. / 항목 번호")]
Rubric = Annotated[str, typer.Option(help="correct, partial, wrong, unsupported or dangerous. / 원래 답변의 평가")]

ROLES = ("reviewer", "approver", "trainer")
"""Who holds the service token of the machine may do everything; that two people approve holds here as well."""
STATES = {
    "pending": "대기 / pending",
    "proposed": "제안 / proposed",
    "first_approved": "1차 승인 / first approval",
    "approved": "승인 / approved",
    "rejected": "반려 / rejected",
}
ID_CHARACTERS = 32


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="교정과 예문 검토. Review of corrections and examples.", no_args_is_help=True)
    group.command("list")(list_items)
    group.command("show")(show)
    group.command("propose")(propose)
    group.command("approve")(approve)
    group.command("reject")(reject)
    group.command("reopen")(reopen)
    app.add_typer(group, name="review")


def list_items(
    state: Annotated[list[str] | None, typer.Option(help="Only these states; open ones if none. / 상태")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds. / 종류")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, oldest first. / 개수")] = 50,
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """검토할 항목을 보여줍니다. Items of the queue, the oldest first."""
    items = call(person, lambda learning: learning.review_items(state or (), kind or (), limit))
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in items], ensure_ascii=False))
        return
    for item in items:
        typer.echo(f"{item.id[:12]}  v{item.version}  {STATES[item.state]:24} {item.kind:12} {item.proposed_question}")


def show(item_id: ItemId, person: Person = "", as_json: AsJson = False) -> None:
    """한 항목을 자세히 보여줍니다. One item, with what was answered and what is proposed."""

    async def read(learning: LearningClient) -> ReviewItemView:
        return await learning.review_item((await _found(learning, item_id)).id)

    _print(call(person, read), as_json=as_json)


def propose(
    item_id: ItemId,
    rubric: Rubric,
    question: Annotated[str, typer.Option(help="What should have been asked; as it is if not given. / 질문")] = "",
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """다른 답변을 제안합니다. 답변은 표준 입력으로 받습니다. Propose another answer, read from standard input."""
    answer = sys.stdin.read().strip()

    async def act(learning: LearningClient) -> ReviewItemView:
        item = await _found(learning, item_id)
        return await learning.propose(item.id, item.version, question or item.proposed_question, answer, rubric)

    _print(call(person, act), as_json=as_json)


def approve(
    item_ids: Annotated[list[str], typer.Argument(metavar="ITEM...", help="Ids, or how they begin. / 항목 번호")],
    rubric: Rubric = "",
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """제안을 승인합니다. 서로 다른 두 사람의 승인이 필요합니다. Approve; it takes two people, neither the proposer."""

    async def act(learning: LearningClient) -> list[ReviewItemView]:
        found = [await _found(learning, item_id) for item_id in item_ids]
        return [await learning.approve(item.id, item.version, rubric or None) for item in found]

    for item in call(person, act):
        _print(item, as_json=as_json)


def reject(
    item_id: ItemId,
    reason: Annotated[str, typer.Option(help="Why, as a code. / 사유 코드")],
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """항목을 반려합니다. Keep an item out of training."""

    async def act(learning: LearningClient) -> ReviewItemView:
        item = await _found(learning, item_id)
        return await learning.reject(item.id, item.version, reason)

    _print(call(person, act), as_json=as_json)


def reopen(
    item_id: ItemId,
    reason: Annotated[str, typer.Option(help="Why, as a code such as law_changed. / 사유 코드")],
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """승인이나 반려를 거두고 다시 검토합니다. Take back an approval or a rejection."""

    async def act(learning: LearningClient) -> ReviewItemView:
        item = await _found(learning, item_id)
        return await learning.reopen(item.id, item.version, reason)

    _print(call(person, act), as_json=as_json)


def call(person: str, ask: Callable[[LearningClient], Awaitable[Returned]]) -> Returned:
    """What the platform answers to a person of this machine."""

    async def asked() -> Returned:
        async with platform(PlatformSettings()) as found:
            return await ask(LearningClient(found.llm_service, person or getuser(), ROLES))

    return asyncio.run(asked())


async def _found(learning: LearningClient, begins: str) -> ReviewItemView:
    """The one item whose id begins so, in whatever state. An unclear beginning is refused."""
    if len(begins) == ID_CHARACTERS:
        return await learning.review_item(begins)
    after: str | None = None
    found: list[ReviewItemView] = []
    while page := await learning.review_items(tuple(STATES), limit=200, after=after):
        found += [item for item in page if item.id.startswith(begins)]
        after = page[-1].id
    if len(found) != 1:
        raise typer.BadParameter(f"{len(found)} items begin with {begins}")
    return found[0]


def _print(item: ReviewItemView, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(item), ensure_ascii=False))
        return
    typer.echo(f"{item.id}  v{item.version}  {STATES[item.state]}  {item.kind}  {item.rubric or ''}".rstrip())
    typer.echo(f"  질문 / question   {item.proposed_question}")
    if item.answer:
        typer.echo(f"  답변 / answer     {item.answer}")
    typer.echo(f"  제안 / proposed   {item.proposed_answer or '—'}")
    for source in item.sources:
        typer.echo(f"    {source['label']}")
