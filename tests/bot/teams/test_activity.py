"""What the door reads out of the payloads that Teams sends, and what it passes on of them."""

import json
from typing import Any

import pytest

from bot.teams_door.activity import activity_of, message_of
from bot.teams_door.dialogs import dialog
from bot.teams_door.errors import Refused, Unsealable
from bot.teams_door.inbox import InboxWorker, new_keys
from bot.teams_door.message import TeamsMessage
from tests.bot.teams.microsoft import PERSON, TENANT, payload


def message(name: str, **changes: Any) -> TeamsMessage | None:
    return message_of(activity_of(json.dumps(payload(name, **changes)).encode()))


def test_a_question_keeps_who_asks_where_and_nothing_of_names() -> None:
    asked = message("personal_message")
    assert asked is not None
    assert (asked.kind, asked.user_id, asked.tenant_id, asked.locale) == ("question", PERSON, TENANT, "ko")
    assert (asked.conversation_type, asked.text) == ("personal", "가족이 통장 거래내역을 요청하면 줄 수 있나요?")
    assert "김해치" not in asked.to_bytes().decode()


def test_a_mention_of_the_bot_is_no_part_of_the_question_and_other_mentions_are_names() -> None:
    in_group, in_channel = message("group_mention"), message("channel_mention")
    assert in_group is not None
    assert in_channel is not None
    assert in_group.text == "예금자보호 한도가 <얼마>인가요? 박대리님도 궁금해하세요."
    assert (in_channel.text, in_channel.conversation_type) == ("예금자보호 한도가 얼마인가요?", "channel")


def test_a_person_whom_entra_does_not_know_goes_by_the_channels_own_id() -> None:
    asked = message("personal_message", **{"from": {"id": "29:guest"}})
    assert asked is not None
    assert asked.user_id == "29:guest"


@pytest.mark.parametrize(("locale", "language"), [("ko-KR", "ko"), ("en-US", "en"), ("ja-JP", "en"), ("", None)])
def test_the_clients_language_is_korean_or_english(locale: str, language: str | None) -> None:
    asked = message("personal_message", locale=locale)
    assert asked is not None
    assert asked.locale == language


def test_a_mention_without_words_asks_nothing() -> None:
    assert message("channel_mention", text="<at>해치</at>\n") is None


def test_a_thumb_up_is_passed_on_at_once_and_a_thumb_down_with_its_form() -> None:
    up, down = message("feedback_like_asked"), message("feedback_form_sent")
    assert message("feedback_dislike_asked") is None
    assert up is not None
    assert down is not None
    assert (up.reaction, up.reply_to_id, up.correction) == ("like", "1763600530001", None)
    assert (down.reaction, down.reason) == ("dislike", "outdated")
    assert down.correction == "2025년 9월부터 예금자보호 한도는 1억원입니다."


@pytest.mark.parametrize(
    ("given", "reason", "correction"),
    [
        ('{"feedbackText":"예전 내용입니다."}', None, "예전 내용입니다."),
        ('{"reason":"wrong","correction":"  "}', "wrong", None),
        ('{"reason":"Wrong; DROP TABLE","correction":1}', None, None),
        ("그냥 말로 쓴 의견", None, "그냥 말로 쓴 의견"),
        ("[1]", None, "[1]"),
        ("", None, None),
    ],
)
def test_feedback_is_read_in_every_shape_that_teams_sends(
    given: str, reason: str | None, correction: str | None
) -> None:
    value = {"actionName": "feedback", "actionValue": {"reaction": "dislike", "feedback": given}}
    found = message("feedback_default_box", value=value)
    assert found is not None
    assert (found.reason, found.correction) == (reason, correction)


@pytest.mark.parametrize("value", [None, {}, {"data": {}}, {"data": {"actionName": "feedback", "actionValue": {}}}])
def test_an_invoke_that_is_no_feedback_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match="feedback_unreadable"):
        message("feedback_like_asked", value=value)


@pytest.mark.parametrize("locale", ["ko", "en"])
def test_the_dialog_is_thanks_for_a_thumb_up_and_a_form_for_a_thumb_down(locale: Any) -> None:
    assert dialog("like", locale)["task"]["type"] == "message"
    card = dialog("dislike", locale)["task"]["value"]["card"]["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.5")


def test_a_message_is_read_back_as_it_was_left() -> None:
    left = message("feedback_form_sent")
    assert left is not None
    assert TeamsMessage.from_bytes(left.to_bytes()) == left


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"kind":"question"}'])
def test_what_the_door_did_not_write_is_not_read(content: bytes) -> None:
    with pytest.raises(Unsealable):
        TeamsMessage.from_bytes(content)


def test_an_entry_that_was_sealed_for_another_key_or_altered_is_not_opened() -> None:
    worker = InboxWorker("redis://127.0.0.1:1/0", new_keys().private, "w")
    (own_id,) = worker._keys
    for key_id in ("00000000", own_id):
        with pytest.raises(Unsealable):
            worker.open(("1-0", b"x" * 80, key_id, 0))
