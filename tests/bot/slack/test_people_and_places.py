"""Rights from files and user groups, settings that are refused, and Slack's part in hand-offs."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from slack_sdk.web.async_client import AsyncWebClient

from bot.gateway.directory import Directory
from bot.gateway.handoff_ports import AgentReply, DeliveryFailed, StaffRequest
from bot.gateway.inbox import ChannelInbox, InProcessInbox
from bot.gateway.outbound import OutboundGate
from bot.gateway.slack.handoff import SlackHandoff, reply_place
from bot.gateway.slack.people import EntitlementsUnreadable, SlackPeople, read_entitlements
from bot.gateway.slack.settings import SlackSettings
from llm_service.client import LlmServiceClient
from tests.bot.gateway.stand_ins import PHONE_NUMBER, LlmServiceStandIn
from tests.bot.slack.fake_slack import PERSON, FakeSlack

MAPPING = "user_groups: {S0STAFF: {audience: staff, groups: [credit]}}"


def client_of(slack: FakeSlack) -> AsyncWebClient:
    return AsyncWebClient("xoxb-of-the-tests", base_url=f"{slack.url}/api/")


def people_of(slack: FakeSlack, mapping: Path, clock: list[float], directory: Path | None = None) -> SlackPeople:
    return SlackPeople(
        client_of(slack),
        Directory(directory),
        read_entitlements(mapping),
        directory_decides=directory is not None,
        clock=lambda: clock[0],
    )


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "slack.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    return path


async def test_who_left_a_user_group_loses_its_rights_within_five_minutes(slack: FakeSlack, mapping: Path) -> None:
    clock = [0.0]
    people = people_of(slack, mapping, clock)
    slack.user_groups["S0STAFF"] = [PERSON]
    assert (await people.person_of(PERSON)).audience == "staff"
    slack.user_groups["S0STAFF"] = []
    clock[0] = 301.0
    assert (await people.person_of(PERSON)).audience == "customer"


async def test_while_slack_does_not_say_who_is_in_a_group_the_last_list_counts_a_quarter_of_an_hour(
    slack: FakeSlack, mapping: Path
) -> None:
    clock = [0.0]
    people = people_of(slack, mapping, clock)
    slack.user_groups["S0STAFF"] = [PERSON]
    assert (await people.person_of(PERSON)).groups == ("credit",)
    slack.fail["usergroups.users.list"] = ["internal_error", "internal_error"]
    for now, audience in ((600.0, "staff"), (901.0, "customer")):
        clock[0] = now
        assert (await people.person_of(PERSON)).audience == audience


async def test_where_there_is_a_directory_file_it_alone_decides(
    slack: FakeSlack, mapping: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "people.yaml"
    directory.write_text("people: [{id: '7', channels: {slack: U0OTHER000}, groups: [branch]}]", encoding="utf-8")
    slack.user_groups["S0STAFF"] = [PERSON]
    people = people_of(slack, mapping, [0.0], directory)
    assert (await people.person_of(PERSON)).audience == "customer"
    assert (await people.person_of("U0OTHER000")).groups == ("branch",)


@pytest.mark.parametrize("content", ["user_groups: []", "user_groups: {S0: {audience: boss}}", "a: b", "{", "\xff"])
def test_a_mapping_that_cannot_be_used_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "slack.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(EntitlementsUnreadable, match=r"slack\.yaml") as refused:
        read_entitlements(path)
    assert "boss" not in str(refused.value)


def test_the_process_does_not_start_without_the_tokens_of_its_transport() -> None:
    with pytest.raises(ValidationError, match="HAECHI_SLACK_APP_TOKEN"):
        SlackSettings(slack_bot_token="xoxb")
    with pytest.raises(ValidationError, match="HAECHI_SLACK_SIGNING_SECRET"):
        SlackSettings(slack_bot_token="xoxb", slack_transport="http")


def handoff_of(slack: FakeSlack, staff_channel: str) -> SlackHandoff:
    llm_service = LlmServiceClient("http://llm-service", "token", httpx.ASGITransport(LlmServiceStandIn().app()))
    gate = OutboundGate(llm_service, [], "https://bank.example/chat")
    return SlackHandoff(client_of(slack), gate, ChannelInbox(InProcessInbox(10)), staff_channel)


def request_of(question: str) -> StaffRequest:
    return StaffRequest("h1", "slack", "asked", "ko", "2026-11-21T10:00:00Z", question, reply_place("C1", "1.1"))


async def test_colleagues_are_called_in_the_banks_channel_without_personal_data(slack: FakeSlack) -> None:
    handoff = handoff_of(slack, "C0STAFF000")
    await handoff.post(request_of("대출 상담을 원합니다"))
    await handoff.post(request_of(f"제 번호는 {PHONE_NUMBER}"))
    first, second = slack.messages.values()
    assert "대출 상담을 원합니다" in first.text
    assert PHONE_NUMBER not in second.text
    await handoff_of(slack, "").post(request_of("아무도 부르지 않습니다"))
    assert len(slack.messages) == 2


async def test_an_agents_words_arrive_in_the_thread_once_and_a_refusal_is_told(slack: FakeSlack) -> None:
    handoff = handoff_of(slack, "")
    reply = AgentReply("m1", "h1", "slack", "message", "ko", "안녕하세요, 상담원입니다.", reply_place("D1", "1.1"))
    await handoff.deliver(reply)
    await handoff.deliver(reply)
    (message,) = slack.messages.values()
    assert (message.channel, message.thread, message.text) == ("D1", "1.1", "안녕하세요, 상담원입니다.")
    slack.fail["chat.postMessage"] = ["channel_not_found"]
    with pytest.raises(DeliveryFailed) as failed:
        await handoff.deliver(replace(reply, id="m2"))
    assert failed.value.code == "channel_not_found"
