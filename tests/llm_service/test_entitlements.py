"""Who sees what, generated: channel x role x groups x document class, through everything that says anything.

Every document holds a mark of its own in its name, title, heading and text; whoever may not see the document must never
be shown the mark. The same run shows that those who may do see it, so that the matrix cannot pass on an empty index.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from itertools import product

import httpx
import pytest

from llm_service.client import CONVERSATION_HEADER, Audience, ConversationKey, Route, ServiceError
from llm_service.retrieval.candidate import Entitlement, shared_entitlement
from tests.conftest import SERVICE_TOKEN, RunningService

ROUTE = Route(intent="ask_knowledge", confidence=0.9, by="rasa")
AUDIENCES: tuple[tuple[Audience, ...], ...] = (("staff",), ("customer",), ("customer", "staff"))
DOCUMENT_GROUPS: tuple[tuple[str, ...], ...] = ((), ("credit",), ("audit",), ("audit", "credit"))
ASKER_GROUPS: tuple[tuple[str, ...], ...] = ((), ("credit",), ("audit",), ("audit", "credit"), ("unheard-of",))
CHANNELS = ("web", "slack", "teams")
ROLES: tuple[Audience, ...] = ("staff", "customer")
LETTERS = "가나다라마바사아자차카타"
DAY = date(2026, 11, 21)


@dataclass(frozen=True)
class DocumentClass:
    """One kind of document, and the one document of it; `mark` stands in it and nowhere else."""

    audience: tuple[Audience, ...]
    groups: tuple[str, ...]
    mark: str

    @property
    def path(self) -> str:
        return f"규정/{self.mark}.md"

    @property
    def content(self) -> bytes:
        return (
            f"# {self.mark} 특별우대 규정\n\n## {self.mark} 우대금리\n"
            f"{self.mark} 고객의 특별우대금리는 연 3.25%입니다. 특별우대금리는 {self.mark} 등급에만 적용합니다.\n"
        ).encode()

    @property
    def question(self) -> str:
        return f"{self.mark} 고객의 특별우대금리는 얼마인가요?"

    def is_for(self, role: Audience, groups: tuple[str, ...]) -> bool:
        return role in self.audience and (not self.groups or bool(set(self.groups) & set(groups)))


CLASSES = [
    DocumentClass(audience, groups, f"{letter}람쥐{letter}등급")
    for letter, (audience, groups) in zip(LETTERS, product(AUDIENCES, DOCUMENT_GROUPS), strict=True)
]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite alone: what is filtered does not depend on the database, and the matrix is long."""
    return sqlite_url


@pytest.fixture
async def bank(service: RunningService) -> RunningService:
    for document in CLASSES:
        report = await service.client.upload_document(
            document.path, document.content, document.audience, groups=document.groups
        )
        assert (report.state, report.passages > 0) == ("ready", True)
    return service


def test_the_matrix_has_documents_that_each_asker_may_see_and_may_not() -> None:
    assert len(CLASSES) == 12
    for role, groups in product(ROLES, ASKER_GROUPS):
        allowed = [document.is_for(role, groups) for document in CLASSES]
        assert any(allowed)
        assert not all(allowed)


@pytest.mark.timeout(600)
async def test_nobody_is_shown_a_mark_of_a_document_that_is_not_for_them(bank: RunningService) -> None:
    leaks: list[tuple[str, ...]] = []
    answered = 0
    for channel, role, groups in product(CHANNELS, ROLES, ASKER_GROUPS):
        searched = await _searched(bank, role, groups)
        expected = {document.mark for document in CLASSES if document.is_for(role, groups)}
        assert {document.mark for document in CLASSES if document.mark in searched} == expected
        for document in CLASSES:
            told = await _told(bank, channel, role, groups, document)
            others = [other for other in CLASSES if not other.is_for(role, groups)]
            leaks += [(channel, role, *groups, other.mark) for other in others if _is_shown(other, document, told)]
            answered += document.is_for(role, groups) and "3.25%" in told and f'"{document.path}"' in told
    assert leaks == []
    asked = [
        document.is_for(role, groups) for _, role, groups, document in product(CHANNELS, ROLES, ASKER_GROUPS, CLASSES)
    ]
    assert answered == sum(asked)


async def test_a_turn_of_a_person_with_other_rights_is_as_unknown_as_none(bank: RunningService) -> None:
    document = next(one for one in CLASSES if one.groups == ("credit",) and one.audience == ("staff",))
    conversation = ConversationKey("slack", "thread-1", "u-1", "staff", groups=("credit",))
    turn = await bank.client.create_turn("m-1", conversation, document.question)
    await bank.client.start_answer(turn.turn_id, turn.conversation_id, ROUTE)
    assert [event async for event in bank.client.events(turn.turn_id, turn.conversation_id)][-1].event == "done"
    left = await bank.client.create_turn("m-2", ConversationKey("slack", "thread-1", "u-1", "staff"), "그럼 기한은?")
    assert left.conversation_id != turn.conversation_id
    errors: list[str] = []
    for path in ("", "/events", "/explanation"):
        async with _http(bank) as http:
            headers = {CONVERSATION_HEADER: left.conversation_id}
            reply = await http.get(f"/v1/turns/{turn.turn_id}{path}", headers=headers)
        assert reply.status_code == 404
        errors.append(reply.text)
    with pytest.raises(ServiceError) as refused:
        await bank.client.give_feedback(turn.turn_id, left.conversation_id, "f-1", "up")
    assert refused.value.status == 404
    assert document.mark not in "".join([*errors, str(refused.value), bank.logs.getvalue()])


async def test_the_list_of_documents_is_for_services_alone(bank: RunningService) -> None:
    async with httpx.AsyncClient(base_url=bank.url) as http:
        for path in ("/v1/documents", "/v1/documents/1/flagged"):
            reply = await http.get(path)
            assert reply.status_code == 401
            assert not any(document.mark in reply.text for document in CLASSES)
    listed = {entry["path"]: (entry["audience"], entry["groups"]) for entry in await bank.client.documents()}
    assert listed == {one.path: (list(one.audience), list(one.groups)) for one in CLASSES}


async def test_other_groups_for_the_same_file_hold_at_once(bank: RunningService) -> None:
    document = next(one for one in CLASSES if one.audience == ("staff",) and not one.groups)
    report = await bank.client.upload_document(document.path, document.content, ("staff",), groups=("audit",))
    assert report.state in ("unchanged", "ready")
    assert document.mark not in await _searched(bank, "staff", ())
    assert document.mark not in await _searched(bank, "staff", ("credit",))
    assert document.mark in await _searched(bank, "staff", ("audit",))


@pytest.mark.parametrize("groups", [["Credit"], ["*"], ["credit,audit"], [""], ["g" * 33], ["a"] * 65])
async def test_a_group_that_cannot_be_one_is_refused(service: RunningService, groups: list[str]) -> None:
    with pytest.raises(ServiceError) as refused:
        await service.client.search("특별우대금리", "staff", groups=groups)
    assert refused.value.status == 422
    conversation = ConversationKey("api", "t", "u", "staff", groups=tuple(groups))
    with pytest.raises(ServiceError) as refused:
        await service.client.create_turn("m-1", conversation, "특별우대금리는?")
    assert refused.value.status == 422


MEMBERS = [Entitlement(role, DAY, frozenset(groups)) for role, groups in product(ROLES, ASKER_GROUPS)]


@pytest.mark.parametrize("members", [*product(MEMBERS, repeat=2), MEMBERS], ids=lambda members: str(len(members)))
def test_a_channel_is_shown_nothing_that_one_of_its_members_may_not_see(members: tuple[Entitlement, ...]) -> None:
    shared = shared_entitlement(members)
    for document in CLASSES:
        if shared.allows(document.audience, document.groups, DAY, date.max):
            assert all(document.is_for(member.audience, tuple(member.groups)) for member in members)


def test_a_channel_is_shown_what_all_of_its_members_may_see() -> None:
    both = shared_entitlement(
        [Entitlement("staff", DAY, frozenset({"credit", "audit"})), Entitlement("staff", DAY, frozenset({"credit"}))]
    )
    assert both == Entitlement("staff", DAY, frozenset({"credit"}))
    mixed = shared_entitlement([Entitlement("staff", DAY), Entitlement("customer", DAY)])
    assert mixed.allows(("customer", "staff"), (), DAY, date.max)
    assert not mixed.allows(("staff",), (), DAY, date.max)
    assert not mixed.allows(("customer",), (), DAY, date.max)


@pytest.mark.parametrize("members", [[], [Entitlement("staff", DAY), Entitlement("staff", date(2020, 1, 1))]])
def test_a_channel_whose_members_are_not_known_is_shown_nothing(members: list[Entitlement]) -> None:
    with pytest.raises(ValueError, match=r"members"):
        shared_entitlement(members)


def _is_shown(other: DocumentClass, asked: DocumentClass, told: str) -> bool:
    """Whether something told names a document: its path, its title, or a mark that the person did not write."""
    return other.path in told or f"{other.mark} 특별우대" in told or (other is not asked and other.mark in told)


async def _searched(bank: RunningService, role: Audience, groups: tuple[str, ...]) -> str:
    found = await bank.client.search("특별우대금리 규정", role, k=50, groups=groups)
    return json.dumps(asdict(found), ensure_ascii=False)


async def _told(
    bank: RunningService, channel: str, role: Audience, groups: tuple[str, ...], document: DocumentClass
) -> str:
    """Everything the service says about one question: events, the turn, its explanation, its feedback."""
    conversation = ConversationKey(channel, f"thread-{document.mark}", "person", role, groups=groups)
    turn = await bank.client.create_turn(f"m-{channel}-{role}-{len(groups)}", conversation, document.question)
    await bank.client.start_answer(turn.turn_id, turn.conversation_id, ROUTE)
    told = [asdict(event) async for event in bank.client.events(turn.turn_id, turn.conversation_id)]
    view = asdict(await bank.client.turn(turn.turn_id, turn.conversation_id))
    explanation = asdict(await bank.client.explanation(turn.turn_id, turn.conversation_id))
    feedback = await bank.client.give_feedback(turn.turn_id, turn.conversation_id, "f-1", "down", "wrong")
    return json.dumps([told, view, explanation, feedback], ensure_ascii=False)


def _http(bank: RunningService) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=bank.url, headers={"Authorization": f"Bearer {SERVICE_TOKEN}"})
