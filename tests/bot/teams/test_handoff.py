"""People talking through Teams: the call for a colleague, and an agent's words at the place that asked for them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from bot.gateway.handoff_ports import AgentReply, DeliveryFailed, StaffRequest
from bot.gateway.outbound import OutboundGate
from bot.gateway.teams.connector import BotToken, Connector, Place
from bot.gateway.teams.handoff import TeamsHandoff, reply_place
from bot.gateway.teams.kept import KeptMessages
from bot.gateway.texts import sentence
from llm_service.client import LlmServiceClient
from tests.bot.gateway.stand_ins import PHONE_NUMBER, LlmServiceStandIn
from tests.bot.teams.microsoft import SERVICE_URL, TENANT, FakeConnector, failing

STAFF = Place(SERVICE_URL, TENANT, "19:staff@thread.tacv2", "channel", "28:bot")
ASKER = Place(SERVICE_URL, TENANT, "a:chat", "personal", "28:bot", "1763600523456")


@dataclass
class Desk:
    handoff: TeamsHandoff
    connector: FakeConnector


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    connector, kept = FakeConnector(), KeptMessages(redis_url, feedback_days=1)
    llm_service = LlmServiceClient("http://llm-service", "token", httpx.ASGITransport(LlmServiceStandIn().app()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(connector.app())) as http:
        token = BotToken(http, f"https://login.example/{TENANT}/oauth2/v2.0/token", {})
        out = Connector(http, token, frozenset({"smba.trafficmanager.net"}), https_only=True)
        gate = OutboundGate(llm_service, [], "https://bank.example/chat")
        yield Desk(TeamsHandoff(out, gate, kept, STAFF), connector)
    await kept.close()


def reply(number: int, text: str, place: str = reply_place(ASKER)) -> AgentReply:
    return AgentReply(f"r{number}", "h1", "teams", "message", "ko", text, place)


async def test_a_call_for_a_colleague_stands_in_the_banks_channel(desk: Desk) -> None:
    await desk.handoff.post(StaffRequest("h1", "teams", "asked", "ko", "2026-11-20T01:00:00Z", "한도 문의", ""))
    (posted,) = desk.connector.received
    assert posted.conversation == STAFF.conversation_id
    assert posted.activity["text"] == sentence("teams", "handoff_call", "ko") + "한도 문의"


async def test_an_agents_words_stand_once_where_they_were_asked_for(desk: Desk) -> None:
    for number in (1, 1, 2):
        await desk.handoff.deliver(reply(number, f"답변 {number}입니다."))
    assert desk.connector.texts == ["답변 1입니다.", "답변 2입니다."]
    assert {one.conversation for one in desk.connector.received} == {ASKER.conversation_id}


async def test_t7_personal_data_in_an_agents_words_does_not_leave(desk: Desk) -> None:
    await desk.handoff.deliver(reply(1, f"{PHONE_NUMBER} 로 전화드리겠습니다."))
    assert PHONE_NUMBER not in str(desk.connector.received)
    assert len(desk.connector.texts) == 1


async def test_words_that_teams_did_not_take_may_come_again(desk: Desk) -> None:
    desk.connector.refuse = [failing(400)]
    with pytest.raises(DeliveryFailed, match="refused"):
        await desk.handoff.deliver(reply(1, "답변입니다."))
    await desk.handoff.deliver(reply(1, "답변입니다."))
    assert desk.connector.texts == ["답변입니다."]


@pytest.mark.parametrize("place", ["", "{}", "[1]", "C024/17.1"])
async def test_words_without_a_place_are_not_delivered(desk: Desk, place: str) -> None:
    with pytest.raises(DeliveryFailed, match="no_place_to_reply"):
        await desk.handoff.deliver(reply(1, "답변입니다.", place))


def test_a_place_too_long_to_be_kept_is_none() -> None:
    assert reply_place(Place(SERVICE_URL, TENANT, "a:" + "x" * 600, "personal", "28:bot")) == ""
