"""What passes from the Teams door into the bank: who said what where, and nothing of an activity that nobody needs."""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from bot.teams_door.errors import Unsealable

Kind = Literal["question", "feedback", "installed"]
ConversationType = Literal["personal", "groupChat", "channel"]
Reaction = Literal["like", "dislike"]
Locale = Literal["ko", "en"]
KINDS: Final = frozenset({"question", "feedback", "installed"})
CONVERSATION_TYPES: Final = frozenset({"personal", "groupChat", "channel"})


@dataclass(frozen=True)
class TeamsMessage:
    """One message of a person. `text` and `correction` are raw: they go to masking and nowhere else.

    `user_id` is the person's Entra object id where Teams tells it, else its own id of the person; `reply_to_id` is the
    message that feedback is about; `locale` is None where the client does not say.
    """

    kind: Kind
    activity_id: str
    service_url: str
    tenant_id: str
    conversation_id: str
    conversation_type: ConversationType
    user_id: str = field(repr=False)
    bot_id: str
    locale: Locale | None = None
    text: str = field(default="", repr=False)
    reply_to_id: str | None = None
    reaction: Reaction | None = None
    reason: str | None = None
    correction: str | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(content: bytes) -> "TeamsMessage":
        """Raises `Unsealable` for what the door does not write."""
        try:
            message = TeamsMessage(**json.loads(content))
        except (ValueError, TypeError):
            raise Unsealable("an entry of the Teams inbox is not a message of this version of the door") from None
        if message.kind not in KINDS or message.conversation_type not in CONVERSATION_TYPES:
            raise Unsealable("an entry of the Teams inbox is of an unknown kind")
        return message
