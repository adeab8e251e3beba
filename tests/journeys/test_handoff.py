"""A person of the web asks for somebody, an agent takes it, both write, the person rates; a stop loses nothing.

llm_service and the gateway are the real ones, with real masking and records; questions are routed by the fallback.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bot.gateway.app import create_app
from bot.gateway.handoff_ports import AgentReply, DeliveryFailed
from bot.gateway.reply_pump import ReplyPump
from bot.gateway.settings import GatewaySettings
from llm_service.client import ConversationKey, LlmServiceClient, parse_event
from llm_service.handoff_client import AgentHandoffs, PersonHandoffs
from llm_service.settings import Settings
from tests.bot.gateway.stand_ins import served

PHONE = "010-1234-5678"
WANTS_A_PERSON = "상담원 연결해 주세요"
SECRET = "a secret that signs the sessions of the journeys"
Told = list[tuple[int, str, dict[str, Any]]]


@dataclass
class Page:
    """A page of a guest: a token and a conversation, which outlive every process."""

    http: httpx.AsyncClient
    token: str = ""
    conversation: str = field(default_factory=lambda: str(uuid4()))

    async def post(self, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.http.post(path, json=body, headers=headers, timeout=20)

    async def open(self) -> None:
        self.token = (await self.post("/v1/session")).json()["token"]

    async def ask(self, text: str) -> Told:
        body = {"message_id": str(uuid4()), "conversation": self.conversation, "text": text}
        return events_of((await self.post("/v1/chat", **body)).text)

    async def handoff(self, path: str = "", **body: Any) -> httpx.Response:
        return await self.post(f"/v1/handoff{path}", conversation=self.conversation, **body)

    async def stands(self) -> dict[str, Any]:
        return dict((await self._get("")).json())

    async def told(self, after: int = 0) -> Told:
        """What an ended hand-off told, from behind a number to its end."""
        return events_of((await self._get("/events", {"Last-Event-ID": str(after)})).text)

    async def told_until(self, wanted: str, after: int = 0) -> Told:
        """What is told behind a number until a text comes; then the page leaves."""
        seen: Told = []
        headers = {"Authorization": f"Bearer {self.token}", "Last-Event-ID": str(after)}
        query = {"conversation": self.conversation}
        async with self.http.stream("GET", "/v1/handoff/events", params=query, headers=headers) as response:
            block: list[str] = []
            async for line in response.aiter_lines():
                if line:
                    block.append(line)
                    continue
                seen += events_of("\n".join(block))
                block = []
                if seen and wanted in seen[-1][2]["text"]:
                    break
        return seen

    async def _get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.http.get(
            f"/v1/handoff{path}",
            params={"conversation": self.conversation},
            headers={"Authorization": f"Bearer {self.token}", **(headers or {})},
            timeout=20,
        )


def events_of(text: str) -> Told:
    found = (parse_event(block.splitlines()) for block in text.strip().split("\n\n"))
    return [(event.id, str(event.event), event.data) for event in found if event is not None]


def words(told: Told) -> list[str]:
    return [str(data.get("state") or f"{data['author']}: {data['text']}") for _, _, data in told]


@dataclass(frozen=True)
class Services:
    http: httpx.AsyncClient
    llm_service: LlmServiceClient

    def agent(self, name: str = "agent-kim") -> AgentHandoffs:
        return AgentHandoffs(self.llm_service, name, ["agent"])


Start = Callable[..., AbstractAsyncContextManager[Services]]


@pytest.fixture
def start(sqlite_url: str, make_settings: Any, run_service: Any, analysers: Any) -> Start:
    """Both services on the same records; started again, they know nothing that is not written down."""

    @asynccontextmanager
    async def starting(**changes: Any) -> AsyncIterator[Services]:
        settings: Settings = make_settings(**{"handoff_hours": "mon-sun 00:00-24:00", **changes})
        token = settings.service_token.get_secret_value()
        async with run_service(settings, analysers) as running:
            gateway = GatewaySettings(  # type: ignore[call-arg]
                llm_service_url=running.url, service_token=token, rasa_url="", session_secret=SECRET
            )
            llm_service = LlmServiceClient(running.url, token)
            with served(create_app(gateway)) as url:
                async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                    yield Services(http, llm_service)
            await llm_service.close()

    return starting


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The journey is the same on every database; one is enough here."""
    return sqlite_url


async def test_a_person_is_brought_to_an_agent_and_back(start: Start) -> None:
    async with start() as services:
        page, agent = Page(services.http), services.agent()
        await page.open()
        asked = await page.ask(f"{WANTS_A_PERSON} 제 번호는 {PHONE}입니다")
        notice = next(data for _, name, data in asked if name == "notice")
        assert (notice["code"], notice["handoff"]["state"], notice["handoff"]["ahead"]) == ("handoff", "waiting", 0)
        assert "다음 차례" in "".join(data["text"] for _, name, data in asked if name == "token")

        [waiting] = await agent.queue()
        seen = await agent.take(waiting.id)
        assert PHONE not in str(seen)
        assert any("<PHONE_1>" in one.text for one in seen.said)

        passed_on = await page.ask("카드가 안 돼요")
        assert [name for _, name, _ in passed_on] == ["turn", "notice", "done"]
        assert passed_on[-1][2]["state"] == "handed_off"
        await agent.reply(waiting.id, "reply-1", "<PHONE_1> 번호로 전화드리겠습니다")
        written = await page.handoff("/messages", message_id=str(uuid4()), text="네, 기다릴게요")
        assert written.status_code == 202
        await agent.close(waiting.id)

        told = await page.told()
        assert words(told) == [
            "waiting",
            "taken",
            "person: 카드가 안 돼요",
            f"agent: {PHONE} 번호로 전화드리겠습니다",
            "person: 네, 기다릴게요",
            "closed",
        ]
        assert told[3][2]["masked"] == "<PHONE_1> 번호로 전화드리겠습니다"
        rated = await page.handoff("/rate", rating=5)
        assert (rated.status_code, rated.json()["rating"]) == (200, 5)
        assert (await page.handoff("/rate", rating=1)).json()["error"]["code"] == "handoff_rated"
        assert (await page.ask("안녕하세요"))[-1][2]["state"] != "handed_off"


async def test_processes_that_end_in_the_middle_and_a_page_that_reloads_lose_nothing(start: Start) -> None:
    async with start() as services:
        page, agent = Page(services.http), services.agent()
        await page.open()
        await page.handoff()
        [waiting] = await agent.queue()
        await agent.take(waiting.id)
        await agent.reply(waiting.id, "reply-1", "첫 번째 답")
        before = await page.told_until("첫 번째 답")

    async with start() as services:
        page, agent = Page(services.http, page.token, page.conversation), services.agent()
        assert (await page.stands())["state"] == "answered"
        await page.ask("아직 계신가요?")
        await agent.reply(waiting.id, "reply-1", "첫 번째 답")
        await agent.reply(waiting.id, "reply-2", "두 번째 답")
        await agent.close(waiting.id)
        after = await page.told(after=before[-1][0])
        whole = await page.told()

    assert words(before) + words(after) == words(whole)
    assert words(whole) == [
        "waiting",
        "taken",
        "agent: 첫 번째 답",
        "person: 아직 계신가요?",
        "agent: 두 번째 답",
        "closed",
    ]
    assert [id_ for id_, _, _ in whole] == list(range(1, 7))


async def test_another_guest_reaches_nothing_of_it(start: Start) -> None:
    async with start() as services:
        page, stranger = Page(services.http), Page(services.http)
        await page.open()
        await stranger.open()
        await page.handoff()
        stranger.conversation = page.conversation
        assert (await stranger.stands())["state"] == "none"
        for path, body in (
            ("/leave", {}),
            ("/rate", {"rating": 5}),
            ("/messages", {"message_id": str(uuid4()), "text": "네"}),
        ):
            assert (await stranger.handoff(path, **body)).status_code == 404
        assert (await page.stands())["state"] == "waiting"


async def test_outside_of_the_hours_a_person_is_told_when_to_come_back(start: Start) -> None:
    async with start(handoff_hours="mon-mon 00:00-00:01") as services:
        page = Page(services.http)
        await page.open()
        asked = await page.ask(WANTS_A_PERSON)
        said = "".join(data["text"] for _, name, data in asked if name == "token")
        status = (await page.handoff(locale="en")).json()
    assert "에 다시 시작합니다" in said
    assert (status["state"], status["office"]["open"]) == ("none", False)
    assert "We are back" in status["text"]


class Messenger:
    """A channel that is written to, and whose network fails when it is told to."""

    def __init__(self) -> None:
        self.posted: list[AgentReply] = []
        self.fails = 0

    async def deliver(self, reply: AgentReply) -> None:
        if self.fails:
            self.fails -= 1
            raise DeliveryFailed("network")
        self.posted.append(reply)


async def test_a_messenger_gets_agents_words_in_order_and_not_past_a_failure(start: Start) -> None:
    async with start() as services:
        people, agent, messenger = PersonHandoffs(services.llm_service), services.agent(), Messenger()
        asked = await people.ask(ConversationKey("slack", "C1:1", "U1", "staff"), "asked", "C1:17.01")
        await agent.take(asked.handoff_id)
        await agent.reply(asked.handoff_id, "reply-1", "무엇을 도와드릴까요?")
        messenger.fails = 1
        pump = ReplyPump(people, "slack", messenger)
        assert (await pump.once(), messenger.posted) == (0, [])

    async with start() as services:
        people, agent = PersonHandoffs(services.llm_service), services.agent()
        other = await people.ask(ConversationKey("slack", "C1:2", "U2", "staff"), "asked", "C1:18.01")
        await agent.take(other.handoff_id)
        await agent.reply(other.handoff_id, "reply-2", "안녕하세요")
        assert await ReplyPump(people, "slack", messenger).once() == 2

    assert [(reply.kind, reply.reply_to) for reply in messenger.posted] == [
        ("taken", "C1:18.01"),
        ("message", "C1:18.01"),
    ]
    assert "상담원이 연결되었습니다" in messenger.posted[0].text
