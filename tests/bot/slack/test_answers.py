"""Questions from Slack answered in Slack: mentions, direct messages, threads, the command, the agent view."""

import pytest

from bot.gateway.inbox import Taken
from bot.gateway.slack.deliveries import delivery_of
from tests.bot.gateway.stand_ins import PHONE_NUMBER, SENTENCES, SOURCES, RasaStandIn
from tests.bot.slack.conftest import RESTATED, Begin, ScriptedLlmService, mention, payload
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


async def test_an_answer_that_is_stated_anew_replaces_what_was_shown(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    llm_service.script = ["처음 ", "쓴 ", "문장입니다. ", "또 ", RESTATED, "고쳐 ", "쓴 ", "문장입니다. [1]"]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: "context_actions" in "".join(slack.texts()))
    assert [message.text for message in slack.messages.values()] == ["고쳐 쓴 문장입니다. [1]"]


async def test_a_notice_stands_below_the_answer(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    llm_service.script = ["예금자보호 한도는 문서에 있습니다. [1]"]
    llm_service.notices = [{"code": "as_of", "text": "2025년 4월 1일 기준입니다."}]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack))
    (message,) = slack.messages.values()
    assert message.blocks[0] == {"type": "markdown", "text": "2025년 4월 1일 기준입니다."}


async def test_a_source_that_must_not_leave_keeps_its_number_and_nothing_else(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    llm_service.script = ["첫째입니다. [1] ", "둘째입니다. [2]"]
    llm_service.sources = [SOURCES[0], {**SOURCES[1], "text": f"담당자 {PHONE_NUMBER}"}]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack))
    (message,) = slack.messages.values()
    assert "[2] 메신저로 보낼 수 없는 근거" in str(message.blocks[0])
    assert PHONE_NUMBER not in "".join(slack.texts())


async def test_an_answer_too_long_for_one_message_goes_on_in_the_next(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    paragraph = "예금자보호 한도는 원금과 이자를 합하여 정합니다. " * 40
    llm_service.script = [paragraph + "\n\n"] * 15
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: "context_actions" in "".join(slack.texts()))
    texts = [message.text for message in slack.messages.values()]
    assert "".join(texts) == "".join(llm_service.script)
    assert len(texts) == 2
    assert max(map(len, texts)) <= 11_000


async def test_an_answer_that_another_process_began_goes_on_in_its_message(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, redis_url: str
) -> None:
    """The other process died behind its first words: what it had taken is taken over, and no second message appears."""
    llm_service.script = [f"{word} " for word in ANSWER.split()]
    async with begin(redis_url=redis_url) as process:
        began = await process.client.chat_startStream(
            channel="C0BRANCH00",
            thread_ts="1763700001.000100",
            markdown_text="금융회사등에 ",
            recipient_user_id=PERSON,
            recipient_team_id=TEAM,
        )
        delivery = delivery_of(payload("app_mention"), "U0BOT00000")
        assert delivery is not None
        await process.inbox.remember(f"shown-{delivery.key}", began["ts"])
        await process.desk.handle(Taken(delivery, "1-0", again=True))
    (message,) = slack.messages.values()
    assert (message.text, message.streaming) == ("".join(llm_service.script), False)
    assert message.blocks[-1]["type"] == "context_actions"
