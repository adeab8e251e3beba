"""Puts a guest's own values back in place of placeholders, in that guest's own event stream and at the last moment.

llm_service decides who owns a value. This module finds placeholders in streamed text, also where a language model has
damaged them or a token has cut them in two, and knows no value longer than one stream.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from bot.gateway.turn import ChatEvent
from llm_service.client import PLACEHOLDER_TYPES, LlmServiceClient, ServiceError
from llm_service.logs import get_logger

HELD_CHARACTERS: Final = 24
PLACEHOLDERS_PER_CALL: Final = 64

# <PERSON_1>, < person_1 >, [PERSON_1], &lt;PERSON_1&gt;. Not (PERSON_1) and not a bare PERSON_1: people write those.
# The longest inside has HELD_CHARACTERS, so that a cut never decides whether one is found.
_INSIDE: Final = rf" ?({'|'.join(PLACEHOLDER_TYPES)})_([1-9][0-9]{{0,3}}) ?"
PLACEHOLDER: Final = re.compile(
    rf"<{_INSIDE}>|\[{_INSIDE}\]|&lt;{_INSIDE}&gt;",
    re.IGNORECASE | re.ASCII,
)
# What may still become one: an opener, or the beginning of `&lt;`, and nothing behind it that could not stand inside.
_UNFINISHED: Final = re.compile(
    rf"(?:&(?:lt?)?|(?:<|\[|&lt;)[ A-Z0-9_]{{0,{HELD_CHARACTERS}}}(?:&(?:gt?)?)?)\Z", re.IGNORECASE | re.ASCII
)
_log = get_logger("gateway.restore")


class Restorer:
    """Restores one stream of one guest. `owner` is the guest's id, `conversation_id` llm_service's own."""

    def __init__(self, llm_service: LlmServiceClient, conversation_id: str, owner: str) -> None:
        self._llm_service = llm_service
        self._conversation_id = conversation_id
        self._owner = owner
        self._values: dict[str, str] = {}
        self._asked: set[str] = set()
        self._asks = True

    async def restored(self, events: AsyncGenerator[ChatEvent]) -> AsyncGenerator[ChatEvent]:
        """The same events with values in tokens and notices; never in sources, which are the bank's documents.

        Tokens that end inside what may be a placeholder go out together with the token that ends it, under that
        token's id: whoever comes back with an id they were sent has missed nothing and sees nothing twice. Closing
        this closes `events`.
        """
        text, held = "", None
        async with aclosing(events):
            async for event in events:
                if event.event == "token":
                    text, held = text + event.data["text"], event
                    if ends_inside_a_placeholder(text):
                        continue
                if held is not None:
                    yield await self._with_text(held, text)
                    text, held = "", None
                if event.event == "notice":
                    yield await self._with_text(event, event.data["text"])
                elif event.event != "token":
                    yield event
            if held is not None:
                yield await self._with_text(held, text)

    async def restore(self, text: str) -> str:
        """A whole text with its values, found in one pass: what has been put in is not looked at again."""
        await self._fetch([_name_of(match) for match in PLACEHOLDER.finditer(text)])
        return PLACEHOLDER.sub(lambda match: self._values.get(_name_of(match), match[0]), text)

    async def _with_text(self, event: ChatEvent, text: str) -> ChatEvent:
        shown = await self.restore(text)
        # Whoever keeps what was shown keeps it without the values.
        masked = {"masked": text} if shown != text else {}
        return ChatEvent(event.id, event.event, {**event.data, "text": shown, **masked})

    async def _fetch(self, names: Sequence[str]) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._asked]
        for start in range(0, len(wanted), PLACEHOLDERS_PER_CALL):
            batch = wanted[start : start + PLACEHOLDERS_PER_CALL]
            self._asked.update(batch)
            if self._asks:
                await self._ask(batch)

    async def _ask(self, names: Sequence[str]) -> None:
        try:
            self._values.update(await self._llm_service.restore(self._conversation_id, self._owner, names))
        except ServiceError as error:
            # The answer is whole without them: its placeholders stay, and the stream does not wait a second time.
            self._asks = False
            _log.warning("values_not_restored", code=error.code, count=len(names))


def ends_inside_a_placeholder(text: str) -> bool:
    """Whether the end of a text may be the beginning of a placeholder."""
    return _UNFINISHED.search(text) is not None


def _name_of(match: re.Match[str]) -> str:
    type_, number = (group for group in match.groups() if group is not None)
    return f"<{type_.upper()}_{number}>"
