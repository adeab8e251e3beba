"""Reads a Teams activity: the few fields that count, refused where they are missing, and what the person meant by it.

Shapes: Bot Framework activity schema 3.1, and Microsoft Learn, "Collect feedback for agent responses", for feedback.
Knows nothing of HTTP and of tokens.
"""

import html
import json
import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from bot.teams_door.errors import Refused
from bot.teams_door.message import ConversationType, Kind, Locale, Reaction, TeamsMessage
from llm_service.logs import get_logger

MAXIMUM_ID_CHARACTERS: Final = 512
REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
FETCH_TASK: Final = "message/fetchTask"
SUBMIT_ACTION: Final = "message/submitAction"
_log = get_logger("teams_door.activity")


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class _Account(_Part):
    id: str = Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)
    aad_object_id: str | None = Field(None, max_length=MAXIMUM_ID_CHARACTERS)


class _Conversation(_Part):
    id: str = Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)
    conversation_type: ConversationType = "personal"
    tenant_id: str


class _Tenant(_Part):
    id: str


class _ChannelData(_Part):
    tenant: _Tenant | None = None


class _Feedback(_Part):
    reaction: Reaction
    feedback: str = ""


class _FeedbackData(_Part):
    action_name: Literal["feedback"]
    action_value: _Feedback


class Activity(_Part):
    """The fields of an activity that count here. `value` is whatever an invoke carries."""

    type: str
    id: str = Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)
    name: str = ""
    channel_id: Literal["msteams"]
    service_url: str = Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)
    sender: _Account = Field(alias="from")
    recipient: _Account
    conversation: _Conversation
    channel_data: _ChannelData = _ChannelData()
    text: str = ""
    locale: str = ""
    action: str = ""
    reply_to_id: str | None = Field(None, max_length=MAXIMUM_ID_CHARACTERS)
    entities: list[dict[str, Any]] = Field(default_factory=list)
    value: Any = None

    @property
    def language(self) -> Locale | None:
        """The client's language as far as we speak it: Korean, else English; None where it does not say."""
        if not self.locale:
            return None
        return "ko" if self.locale.lower().startswith("ko") else "en"


def activity_of(body: bytes) -> Activity:
    """The activity in a request's body. Raises `Refused` 400."""
    try:
        return Activity.model_validate_json(body)
    except ValidationError as error:
        # Names and kinds only: what stands in a field is somebody's.
        wrong = [f"{'.'.join(map(str, one['loc']))}:{one['type']}" for one in error.errors(include_input=False)]
        _log.warning("activity_unreadable", fields=wrong[:10])
        raise Refused("activity_unreadable", 400) from None


def check_tenant(activity: Activity, tenants: frozenset[str]) -> None:
    """Pass if both places that name a tenant name one of ours. Raises `Refused` 403.

    An invoke may leave out the channel's: Microsoft's own test client does. Everything else has to name it twice.
    """
    named = {activity.conversation.tenant_id.lower()}
    if activity.channel_data.tenant is not None:
        named.add(activity.channel_data.tenant.id.lower())
    elif activity.type != "invoke":
        raise Refused("tenant_missing", 403)
    if not named <= tenants:
        raise Refused("tenant_refused", 403)


def message_of(activity: Activity) -> TeamsMessage | None:
    """What the bank has to know of an activity; None where nothing follows from it. Raises `Refused` 400."""
    match activity.type, activity.name:
        case "message", _:
            text = _words_of(activity)
            return _message(activity, "question", text=text) if text else None
        case "invoke", "message/fetchTask":
            # A thumb down is given with its form, as on the web page: whoever closes the form has said nothing.
            thumb = reaction_of(activity)
            return _message(activity, "feedback", reaction=thumb) if thumb == "like" else None
        case "invoke", "message/submitAction":
            given = _feedback_of(activity.value)
            reason, correction = _words_of_feedback(given.feedback)
            return _message(activity, "feedback", reaction=given.reaction, reason=reason, correction=correction)
        case "installationUpdate", _ if activity.action in ("add", "add-upgrade"):
            return _message(activity, "installed")
        case _:
            return None


def reaction_of(activity: Activity) -> Reaction:
    """Which thumb a feedback dialog was asked for. Raises `Refused` 400."""
    return _feedback_of(_inside(activity.value, "data")).reaction


def _message(activity: Activity, kind: Kind, **more: Any) -> TeamsMessage:
    return TeamsMessage(
        kind=kind,
        activity_id=activity.id,
        service_url=activity.service_url,
        tenant_id=activity.conversation.tenant_id.lower(),
        conversation_id=activity.conversation.id,
        conversation_type=activity.conversation.conversation_type,
        user_id=activity.sender.aad_object_id or activity.sender.id,
        bot_id=activity.recipient.id,
        locale=activity.language,
        reply_to_id=activity.reply_to_id,
        **more,
    )


def _words_of(activity: Activity) -> str:
    """The text without the mention of the bot, other mentions as plain names, entities as their characters."""
    text = activity.text
    for entity in activity.entities:
        if entity.get("type") == "mention" and isinstance(mentioned := entity.get("text"), str) and mentioned:
            is_bot = _inside(entity, "mentioned") is not None and entity["mentioned"].get("id") == activity.recipient.id
            text = text.replace(mentioned, "" if is_bot else re.sub(r"</?at[^>]*>", "", mentioned))
    return html.unescape(text).replace("\u00a0", " ").strip()


def _feedback_of(value: Any) -> _Feedback:
    try:
        return _FeedbackData.model_validate(value).action_value
    except ValidationError:
        raise Refused("feedback_unreadable", 400) from None


def _words_of_feedback(given: str) -> tuple[str | None, str | None]:
    """Reason and correction out of what a dialog sends: its inputs as JSON, or Teams' own box, or plain words."""
    try:
        inputs = json.loads(given)
    except ValueError:
        return None, given.strip() or None
    if not isinstance(inputs, dict):
        return None, given.strip() or None
    reason = inputs.get("reason")
    words = inputs.get("correction") or inputs.get("feedbackText") or ""
    is_code = isinstance(reason, str) and REASON.fullmatch(reason) is not None
    return (reason if is_code else None), (words.strip() or None) if isinstance(words, str) else None


def _inside(value: Any, name: str) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None
