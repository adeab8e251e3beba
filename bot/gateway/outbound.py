"""What may leave the bank towards Slack and Teams: text that masking found nothing in, made inert. Fails closed.

Only the gate makes an `OutboundText`, and channels send nothing else, so a text that was not checked cannot be sent.
Placeholders are never restored here. Knows no channel's calls; what personal data is, llm_service knows.
"""

import html
import re
from collections.abc import Iterator
from typing import Final, Literal

from bot.gateway.markup import MAXIMUM_LABEL_CHARACTERS, WORD_JOINER, Markup, clipped
from bot.gateway.restore import ends_inside_a_placeholder
from bot.gateway.texts import LOCALES, sentence
from bot.gateway.times import spoken_wait
from llm_service.client import LlmServiceClient, Locale, ServiceError
from llm_service.logs import get_logger

CHECKED_CHARACTERS: Final = 3500
"""Of one call of masking, which takes 4,000; longer texts are checked in pieces that overlap."""
CONTEXT_CHARACTERS: Final = 200
HELD_OPENER_CHARACTERS: Final = MAXIMUM_LABEL_CHARACTERS + 1
# What stands in a document is masked when it is taken in, names as its owner chose; the rules for names are made for
# what people type and take loan words of prose for persons.
TYPES_LET_THROUGH_FROM_THE_BANK: Final = frozenset({"PERSON"})

Author = Literal["person", "bank"]
"""Who wrote a text: a person (a question, a correction), or the bank (an answer, a document, a reply of a rule)."""
Reason = Literal["personal_data", "unchecked"]

_SEAL: Final = object()
_EMPHASIS: Final = re.compile(r"[*_~`\\]")
# A value could go on behind such a word: figures in any script, number words, the parts of a mail address.
_FIGURE_LIKE: Final = re.compile(r"[\d@]|[０-９①-⑳]|\A[공영일이삼사오육륙칠팔구십백천만\-–.,·()]+\Z")
_log = get_logger("gateway.outbound")


class Blocked(Exception):
    """A text that must not leave: personal data was found in it, or it could not be looked for."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def code(self) -> str:
        """The code of what the person is told, in the section `outbound` of the table."""
        return f"{self.reason}_blocked"


class OutboundText:
    """A text that may leave. Parts of it and sums of two may as well; nothing else makes one."""

    __slots__ = ("_text",)

    def __init__(self, seal: object, text: str) -> None:
        """For `OutboundGate`. Raises `TypeError` for everybody else."""
        if seal is not _SEAL:
            raise TypeError("only the outbound gate makes text that may leave")
        self._text: Final = text

    @property
    def text(self) -> str:
        """What to put on the wire."""
        return self._text

    def clipped(self, maximum: int) -> "OutboundText":
        """At most `maximum` characters of it."""
        return OutboundText(_SEAL, clipped(self._text, maximum))

    def behind(self, count: int) -> "OutboundText":
        """What stands behind the first `count` characters."""
        return OutboundText(_SEAL, self._text[count:])

    def pages(self, maximum: int) -> Iterator["OutboundText"]:
        """The whole text in parts of at most `maximum` characters, cut at lines, else at words, else anywhere."""
        rest = self._text
        while len(rest) > maximum:
            cut = max(rest.rfind("\n", 1, maximum), 0) or max(rest.rfind(" ", 1, maximum), 0) or maximum - 1
            yield OutboundText(_SEAL, rest[: cut + 1])
            rest = rest[cut + 1 :]
        if rest:
            yield OutboundText(_SEAL, rest)

    def __add__(self, other: "OutboundText") -> "OutboundText":
        return OutboundText(_SEAL, self._text + other.text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutboundText) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"<text that may leave, {len(self._text)} characters>"

    __str__ = __repr__


class OutboundGate:
    """Checks and renders for one installation. `web_chat_url` is where a person is sent with what may not leave."""

    def __init__(self, llm_service: LlmServiceClient, allowed_hosts: list[str], web_chat_url: str) -> None:
        self._llm_service = llm_service
        self._web_chat_url = web_chat_url
        self._markup: dict[Locale, Markup] = {
            locale: Markup(
                allowed_hosts, sentence("outbound", "masked_value", locale), sentence("outbound", "no_link", locale)
            )
            for locale in LOCALES
        }

    async def markdown(self, text: str, author: Author, locale: Locale) -> OutboundText:
        """A text for a field that reads Markdown. Raises `Blocked`."""
        rendered = self._markup[locale].markdown(text)
        await self.require_clean(rendered, author)
        return OutboundText(_SEAL, rendered)

    async def literal(self, text: str, author: Author, locale: Locale) -> OutboundText:
        """A text for a field that shows every character as it is. Raises `Blocked`."""
        rendered = self._markup[locale].literal(text)
        await self.require_clean(rendered, author)
        return OutboundText(_SEAL, rendered)

    def own(
        self, section: str, code: str, locale: Locale, wait_seconds: int | None = None, **figures: int
    ) -> OutboundText:
        """A sentence of the gateway's table. Raises `KeyError` where it names something that is not given.

        `{web}` in it is the address of the web chat, `{when}` the end of a wait.
        """
        when = {} if wait_seconds is None else {"when": spoken_wait(wait_seconds, locale)}
        return OutboundText(_SEAL, sentence(section, code, locale).format(web=self._web_chat_url, **when, **figures))

    def handle(self, handle: str) -> OutboundText:
        """A signed name of a turn, for buttons and hidden fields: ids and a signature, made by `Sessions`."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,512}", handle):
            raise ValueError("a turn's handle has ids and a signature in it and nothing else")
        return OutboundText(_SEAL, handle)

    def stream(self, author: Author, locale: Locale) -> "OutboundStream":
        """A gate for a text that comes in pieces."""
        return OutboundStream(self, self._markup[locale], author)

    async def require_clean(self, rendered: str, author: Author) -> None:
        """Raises `Blocked` unless masking looked at all that a reader sees and found nothing."""
        seen = _EMPHASIS.sub("", html.unescape(rendered.replace(WORD_JOINER, "")))
        for start in range(0, max(1, len(seen)), CHECKED_CHARACTERS - CONTEXT_CHARACTERS):
            await self._check(seen[start : start + CHECKED_CHARACTERS], author)

    async def _check(self, seen: str, author: Author) -> None:
        if not any(character.isalnum() for character in seen):
            return
        try:
            counts = (await self._llm_service.mask(seen))["entity_counts"]
            found = {type_ for type_, count in counts.items() if count}
        except (ServiceError, KeyError, AttributeError, TypeError, ValueError) as error:
            _log.warning("outbound_unchecked", kind=getattr(error, "code", type(error).__name__), characters=len(seen))
            raise Blocked("unchecked") from None
        if author == "bank":
            found -= TYPES_LET_THROUGH_FROM_THE_BANK
        if found:
            _log.warning("outbound_blocked", types=sorted(found), characters=len(seen))
            raise Blocked("personal_data")


class OutboundStream:
    """Lets a growing text out as far as nothing that is still to come can change what has left.

    The end of the text is held while a value, a link or a placeholder may go on behind it. What was let out, joined, is
    byte for byte what the whole text renders to.
    """

    def __init__(self, gate: OutboundGate, markup: Markup, author: Author) -> None:
        """For `OutboundGate.stream`."""
        self._gate = gate
        self._markup = markup
        self._author = author
        self.restart()

    def add(self, text: str) -> None:
        """What has come since."""
        self._text += text

    def restart(self) -> None:
        """The text is told anew from its beginning; what was let out so far has to be taken back."""
        self._text = ""
        self._sent = ""

    @property
    def whole(self) -> OutboundText:
        """All that was let out since the beginning."""
        return OutboundText(_SEAL, self._sent)

    async def release(self) -> OutboundText:
        """What more may leave by now; empty if nothing. Raises `Blocked`."""
        return await self._let_out(self._markup.markdown(self._text[: stable_length(self._text)]))

    async def finish(self) -> OutboundText:
        """The rest of the text, its held end included. Raises `Blocked`."""
        return await self._let_out(self._markup.markdown(self._text))

    async def _let_out(self, rendered: str) -> OutboundText:
        if len(rendered) <= len(self._sent):
            return OutboundText(_SEAL, "")
        await self._gate.require_clean(rendered[max(0, len(self._sent) - CONTEXT_CHARACTERS) :], self._author)
        more = rendered[len(self._sent) :]
        self._sent = rendered
        return OutboundText(_SEAL, more)


def stable_length(text: str) -> int:
    """How much of a growing text may leave: up to the last gap between two words behind which no value can go on."""
    position = len(text)
    while position > 0:
        position = max(text.rfind(" ", 0, position), text.rfind("\n", 0, position))
        if position > 0 and _is_stable_gap(text, position):
            return position + 1
    return 0


def _is_stable_gap(text: str, gap: int) -> bool:
    paragraph_ends = text[gap] == "\n" and gap > 0 and text[gap - 1] == "\n"
    if not paragraph_ends:
        before = text[max(0, gap - 60) : gap].split()
        behind = text[gap + 1 : gap + 61].split(maxsplit=1)
        # The word behind has to be a whole one: another character may still make a figure of it.
        if len(behind) < 2 or any(_FIGURE_LIKE.search(word) for word in (*before[-1:], behind[0])):
            return False
    line = text[max(text.rfind("\n", 0, gap) + 1, gap - HELD_OPENER_CHARACTERS) : gap]
    return line.rfind("[") <= line.rfind("]") and not ends_inside_a_placeholder(text[max(0, gap - 60) : gap + 1])
