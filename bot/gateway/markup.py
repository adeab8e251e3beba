"""Model-written Markdown made inert for messengers: no mention, no image, no markup of theirs, links to known hosts.

Works on text alone and in time linear in it. Knows neither Slack's nor Teams' calls, nor what personal data is.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from bot.gateway.restore import PLACEHOLDER

WORD_JOINER: Final = "\u2060"
"""Invisible and without width: it stands where two characters would otherwise begin something live."""
ELLIPSIS: Final = "…"
MAXIMUM_LABEL_CHARACTERS: Final = 300
MAXIMUM_URL_CHARACTERS: Final = 2000

_KEPT_CONTROLS: Final = frozenset("\n\t")
# UAX #9: embeddings, overrides and isolates show a reader another order than the one that was checked.
_LEFT_OUT: Final = frozenset("\ue000\ue001\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LABEL: Final = rf"\[([^\[\]\n]{{0,{MAXIMUM_LABEL_CHARACTERS}}})\]"
_TARGET: Final = rf"\(([^\s()]{{0,{MAXIMUM_URL_CHARACTERS}}})\)"
_LIVE: Final = re.compile(
    rf"!{_LABEL}{_TARGET}"  # 1, 2: an image
    rf"|{_LABEL}{_TARGET}"  # 3, 4: a link
    rf"|((?:[a-zA-Z][a-zA-Z0-9+.-]{{0,20}}://|www\.)[^\s<>\"'`()\[\]{{}}|\\^*]+)"  # 5: a bare address
    r"|(javascript|vbscript|data|file|mailto|tel|sip)(?=:)"  # 6: a scheme that nothing here may open
    r"|@(?=\w)"  # a mention by name
    r"|[<>&]",
    re.IGNORECASE,
)
# Stand for the brackets of our own links until the brackets of the text can no longer make a link of anything.
_LINK_OPENS, _LINK_TURNS = "\ue000", "\ue001"
_HALF_LINK: Final = re.compile(rf"(?<=\])(?=[\[(:{_LINK_OPENS}])|(?<=!)(?=[\[{_LINK_OPENS}])")
_ENTITIES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_SENTENCE_MARKS: Final = ".,;:!?"


class Markup:
    """Renders for one installation: `allowed_hosts` are the only ones that stay links ("law.go.kr" not "x.law.go.kr").

    `masked` stands for a placeholder, `no_link` for an address of any other host.
    """

    def __init__(self, allowed_hosts: Sequence[str], masked: str, no_link: str) -> None:
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._masked = masked
        self._no_link = no_link

    def markdown(self, text: str) -> str:
        """Markdown for Slack's and Teams' Markdown fields: emphasis, lists, tables and code stay, `&<>` are entities.

        A text whose end is no unfinished link renders to a prefix of what any continuation of it renders to.
        """
        return _without_half_links(_LIVE.sub(self._replaced, self._cleaned(text)))

    def literal(self, text: str) -> str:
        """Text for fields that know no markup at all (`plain_text`, `rich_text`): nothing escaped, nothing live."""
        return _without_half_links(_LIVE.sub(self._inert, self._cleaned(text)))

    def _cleaned(self, text: str) -> str:
        return PLACEHOLDER.sub(self._masked, readable(text))

    def _replaced(self, match: re.Match[str]) -> str:
        image, link, address = match[1], match[3], match[5]
        if image is not None:
            return self._words(image)
        if link is not None:
            url = self._allowed(match[4])
            return _link(self._words(link), url) if url else self._words(link)
        if address is not None:
            return self._address(address)
        return _ENTITIES.get(match[0]) or match[0] + WORD_JOINER

    def _address(self, address: str) -> str:
        bare = address.rstrip(_SENTENCE_MARKS)
        url = self._allowed(bare)
        shown = _link("", url) if url else self._no_link
        return shown + address[len(bare) :]

    def _words(self, label: str) -> str:
        """A label as text: what looks like an address in it could point elsewhere than it says."""
        return _LIVE.sub(
            lambda match: self._no_link if match[5] else _ENTITIES.get(match[0]) or match[0] + WORD_JOINER, label
        )

    def _inert(self, match: re.Match[str]) -> str:
        if match[1] is not None or match[3] is not None:
            return match[1] if match[1] is not None else match[3]
        if match[5] is not None:
            return match[5] if self._allowed(match[5].rstrip(_SENTENCE_MARKS)) else self._no_link
        return match[0] if match[0] in ">&" else match[0] + WORD_JOINER

    def _allowed(self, address: str) -> str:
        """The address in ASCII if it is https at an allowed host and nothing else is in it, else nothing."""
        try:
            parts = urlsplit(address)
            host = (parts.hostname or "").lower()
            if parts.scheme.lower() != "https" or host not in self._hosts or parts.netloc.lower() != host:
                return ""
        except ValueError:
            return ""
        rest = parts._replace(scheme="", netloc="").geturl()
        return f"https://{host}{quote(rest, safe='/%?=&#+,;:.-~')}".replace("_", "%5F")


def _link(label: str, url: str) -> str:
    return f"{_LINK_OPENS}{label.strip() or escaped(url)}{_LINK_TURNS}{escaped(url)})"


def _without_half_links(rendered: str) -> str:
    broken = _HALF_LINK.sub(WORD_JOINER, rendered)
    return broken.replace(_LINK_OPENS, "[").replace(_LINK_TURNS, "](")


def readable(text: str) -> str:
    """Text without controls, lone surrogates and changes of direction; every line ends in a line feed."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        character
        for character in unified
        if character in _KEPT_CONTROLS
        or (character not in _LEFT_OUT and unicodedata.category(character) not in ("Cc", "Cs"))
    )


def escaped(text: str) -> str:
    """`&`, `<` and `>` as entities, as Slack asks of every text and as Markdown reads them."""
    return re.sub("[&<>]", lambda match: _ENTITIES[match[0]], text)


def clipped(text: str, maximum: int) -> str:
    """At most `maximum` characters, cut before a word so that no entity and no link is cut in two."""
    if len(text) <= maximum:
        return text
    cut = max(text.rfind(" ", 0, maximum), text.rfind("\n", 0, maximum))
    if cut < 1:
        cut = maximum - len(ELLIPSIS)
        cut = ampersand if (ampersand := text.rfind("&", max(0, cut - 5), cut)) > 0 else cut
    return text[:cut].rstrip() + ELLIPSIS
