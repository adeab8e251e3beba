"""Questions from Slack answered in Slack: mentions, direct messages, threads, the command, the agent view."""

import pytest

from tests.bot.gateway.stand_ins import SENTENCES, RasaStandIn
from tests.bot.slack.conftest import Begin, ScriptedLlmService, mention, payload
from tests.bot.slack.fake_slack import PERSON, TEAM, FakeSlack

ANSWER = "".join(SENTENCES)


def ended(slack: FakeSlack, count: int = 1) -> bool:
    return len(slack.called("chat.stopStream")) >= count


async def test_a_mention_is_answered_in_its_thread_with_sources_and_thumbs(begin: Begin, slack: FakeSlack) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack))
    (message,) = slack.messages.values()
    assert (message.channel, message.thread) == ("C0BRANCH00", "1763700001.000100")
    assert message.text == ANSWER
    assert [block["type"] for block in message.blocks] == ["rich_text", "context", "context_actions"]
    assert "제4조" in str(message.blocks[0])
    started = slack.called("chat.startStream")[0].arguments
    assert (started["recipient_user_id"], started["recipient_team_id"]) == (PERSON, TEAM)


async def test_a_direct_message_is_answered_and_the_wait_is_shown(begin: Begin, slack: FakeSlack) -> None:
    async with begin():
        await slack.deliver("events_api", payload("message_im"))
        await slack.until(lambda: ended(slack))
    assert "찾는 중" in slack.called("assistant.threads.setStatus")[0].arguments["status"]
    assert [message.text for message in slack.messages.values()] == [ANSWER]


async def test_a_thread_that_the_bot_answered_is_followed_in_the_same_conversation(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack))
        await slack.deliver("events_api", payload("message_thread"))
        await slack.until(lambda: ended(slack, 2))
    assert len({turn.conversation_id for turn in llm_service.all_turns()}) == 1


async def test_threads_of_others_bots_and_edits_are_let_be(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    async with begin():
        for name in ("message_thread", "message_bot", "message_changed"):
            await slack.deliver("events_api", payload(name))
        await slack.deliver("events_api", payload("message_im"))
        await slack.until(lambda: ended(slack))
    assert len(llm_service.all_turns()) == 1


async def test_a_mention_in_an_answered_thread_is_answered_once(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack))
        both = {"text": "<@U0BOT00000> 그럼 위임장이 있으면요?", "ts": "1763700003.000100"}
        await slack.deliver("events_api", payload("message_thread", **both))
        await slack.deliver("events_api", payload("app_mention", thread_ts="1763700001.000100", **both))
        await slack.until(lambda: ended(slack, 2))
    assert len(llm_service.all_turns()) == 2


async def test_the_command_is_answered_to_the_person_alone(begin: Begin, slack: FakeSlack) -> None:
    async with begin():
        await slack.deliver("slash_commands", payload("slash_command", response_url=f"{slack.url}/response/1"))
        await slack.until(lambda: len(slack.responses) == 2)
    question, answer = slack.responses
    assert "거래내역을 달라는데" in question["blocks"][0]["text"]
    assert answer["blocks"][0]["text"] == ANSWER
    assert {response["response_type"] for response in slack.responses} == {"ephemeral"}
    assert slack.messages == {}


async def test_a_command_is_not_answered_to_a_stranger_s_address(begin: Begin, slack: FakeSlack) -> None:
    async with begin() as process:
        evil = slack.url.replace("127.0.0.1", "localhost")
        await slack.deliver("slash_commands", payload("slash_command", response_url=f"{evil}/response/1"))
        await slack.until(lambda: bool(slack.acks))
        await process.inbox.stop(grace_seconds=5)
    assert slack.responses == []


async def test_who_opens_the_agent_sees_what_to_ask(begin: Begin, slack: FakeSlack) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_home_opened"))
        await slack.until(lambda: bool(slack.called("assistant.threads.setSuggestedPrompts")))
    prompts = slack.called("assistant.threads.setSuggestedPrompts")[0].arguments["prompts"]
    assert len(prompts) == 3


async def test_rasa_gets_no_markup_of_slack(begin: Begin, slack: FakeSlack, rasa: RasaStandIn) -> None:
    async with begin():
        await slack.deliver(
            "events_api", mention(7, "<tel:0212345678|02-1234-5678> &lt;약관&gt; <https://law.go.kr|은행법> <#C1|지점>")
        )
        await slack.until(lambda: ended(slack))
    assert [body["text"] for body in rasa.received] == ["02-1234-5678 <약관> 은행법 #지점"]


async def test_another_workspace_is_not_served(begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService) -> None:
    async with begin() as process:
        envelope = await slack.deliver("events_api", {**payload("app_mention"), "team_id": "T0OTHER000"})
        await slack.until(lambda: envelope in slack.acks)
        await process.inbox.stop(grace_seconds=5)
    assert llm_service.all_turns() == []


@pytest.mark.parametrize(
    ("members", "channel", "audience", "groups"),
    [
        ([], "D0PERSON00", "customer", []),
        ([PERSON], "D0PERSON00", "staff", ["credit"]),
        ([PERSON], "C0BRANCH00", "staff", []),
        ([PERSON], "C0OTHER000", "customer", []),
        ([], "C0BRANCH00", "customer", []),
    ],
)
async def test_rights_are_the_persons_and_in_a_channel_those_of_all_who_read_it(
    begin: Begin,
    slack: FakeSlack,
    llm_service: ScriptedLlmService,
    members: list[str],
    channel: str,
    audience: str,
    groups: list[str],
) -> None:
    slack.user_groups["S0STAFF"] = members
    async with begin():
        name = "message_im" if channel.startswith("D") else "app_mention"
        await slack.deliver("events_api", payload(name, channel=channel))
        await slack.until(lambda: ended(slack))
    (key,) = llm_service.conversation_keys
    assert (key["audience"], key["groups"]) == (audience, groups)


async def test_user_groups_that_cannot_be_read_give_no_rights(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    slack.user_groups["S0STAFF"] = [PERSON]
    slack.fail["usergroups.users.list"] = ["missing_scope"]
    async with begin():
        await slack.deliver("events_api", payload("message_im"))
        await slack.until(lambda: ended(slack))
    assert llm_service.conversation_keys[0]["audience"] == "customer"
