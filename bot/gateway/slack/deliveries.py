"""What Slack delivers, read into deliveries of our own: what is a question to us, what a verdict, what is nothing.

Pure: payloads in, deliveries out. Knows neither Bolt nor the network.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from bot.gateway.inbox import Delivery

JUDGE_ACTION: Final = "judge_answer"
CORRECTION_VIEW: Final = "correct_answer"
REASON_BLOCK, REASON_FIELD = "reason", "reason_field"
CORRECTION_BLOCK, CORRECTION_FIELD = "correction", "correction_field"
ASK_COMMAND: Final = "/ask"
UP, DOWN = "up", "down"
# Edits, joins, topics and other apps' messages have subtypes of their own; a file brings its text along.
WRITTEN_BY_A_PERSON: Final = (None, "file_share", "thread_broadcast")

_ENTITY: Final = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")


def delivery_of(body: Mapping[str, Any], bot_user: str) -> Delivery | None:
    """What a payload asks of us; None for what is not for us. The key is the same for every delivery of one thing."""
    if body.get("type") == "event_callback":
        return _of_event(body, body["event"], bot_user)
    if body.get("command") == ASK_COMMAND:
        return _of_command(body)
    if body.get("type") == "block_actions":
        return _of_action(body)
    if body.get("type") == "view_submission" and body["view"].get("callback_id") == CORRECTION_VIEW:
        return _of_view(body)
    return None


def team_of(body: Mapping[str, Any]) -> str:
    """The workspace a payload comes from; empty if it does not say."""
    team = body.get("team")
    return str(body.get("team_id") or (team.get("id", "") if isinstance(team, Mapping) else team) or "")


def plain_text(text: str, bot_user: str) -> str:
    """A message's text as the person typed it: without the mention of the bot, links and numbers as they were shown."""

    def shown(match: re.Match[str]) -> str:
        target, label = match[1], match[2]
        if target == f"@{bot_user}":
            return ""
        if target.startswith(("@", "#", "!")):
            return f"{target[0] if target[0] != '!' else ''}{(label or '').lstrip('@#')}" if label else ""
        return label or target.removeprefix("mailto:").removeprefix("tel:")

    return html.unescape(_ENTITY.sub(shown, text)).strip()


def _of_event(body: Mapping[str, Any], event: Mapping[str, Any], bot_user: str) -> Delivery | None:
    match event.get("type"):
        case "app_mention":
            return _question(body, event, bot_user, "mention") if _is_a_persons(event) else None
        case "message" if _is_a_persons(event) and event.get("channel_type") == "im":
            return _question(body, event, bot_user, "im")
        case "message" if _is_a_persons(event) and event.get("thread_ts") and not _mentions(event, bot_user):
            return _question(body, event, bot_user, "thread")
        case "app_home_opened" if event.get("tab") == "messages":
            key = f"h-{event['user']}-{event['event_ts']}"
            return Delivery(key, "opened", {"channel": event["channel"], "user": event["user"]})
        case "agent_session_stopped":
            key = f"s-{event['channel']}-{event['event_ts']}"
            return Delivery(key, "stopped", {"channel": event["channel"], "messages": event["streaming_message_ts"]})
    return None


def _question(body: Mapping[str, Any], event: Mapping[str, Any], bot_user: str, way: str) -> Delivery:
    return Delivery(
        f"m-{event['channel']}-{event['ts']}",
        "question",
        {
            "way": way,
            "team": team_of(body),
            "channel": event["channel"],
            "user": event["user"],
            "ts": event["ts"],
            "thread": event.get("thread_ts") or event["ts"],
            "text": plain_text(event.get("text", ""), bot_user),
        },
    )


def _of_command(body: Mapping[str, Any]) -> Delivery:
    return Delivery(
        f"c-{body['trigger_id']}",
        "command",
        {
            "team": team_of(body),
            "channel": body["channel_id"],
            "user": body["user_id"],
            "response_url": body["response_url"],
            "text": plain_text(body.get("text", ""), ""),
        },
    )


def _of_action(body: Mapping[str, Any]) -> Delivery | None:
    for action in body.get("actions", ()):
        if action.get("action_id") == JUDGE_ACTION:
            verdict, _, handle = str(action["value"]).partition(":")
            place = {"channel": body["channel"]["id"], "user": body["user"]["id"], "thread": thread_of(body)}
            key = f"a-{body['user']['id']}-{action['action_ts']}"
            return Delivery(key, "verdict", {**place, "verdict": verdict, "handle": handle})
    return None


def _of_view(body: Mapping[str, Any]) -> Delivery:
    values = body["view"]["state"]["values"]
    reason = values.get(REASON_BLOCK, {}).get(REASON_FIELD, {}).get("selected_option") or {}
    correction = values.get(CORRECTION_BLOCK, {}).get(CORRECTION_FIELD, {}).get("value")
    kept = {"user": body["user"]["id"], "reason": reason.get("value"), "correction": correction}
    return Delivery(f"v-{body['view']['id']}", "correction", {**json.loads(body["view"]["private_metadata"]), **kept})


def thread_of(body: Mapping[str, Any]) -> str:
    """The thread of the message whose button was pressed; empty for a message that is nobody else's to see."""
    message = body.get("message") or {}
    container = body.get("container") or {}
    return str(message.get("thread_ts") or container.get("thread_ts") or message.get("ts") or "")


def _is_a_persons(event: Mapping[str, Any]) -> bool:
    return bool(event.get("user")) and event.get("subtype") in WRITTEN_BY_A_PERSON and not event.get("bot_id")


def _mentions(event: Mapping[str, Any], bot_user: str) -> bool:
    # Slack delivers such a message a second time, as app_mention, and that is the one that counts.
    return f"<@{bot_user}" in event.get("text", "")
