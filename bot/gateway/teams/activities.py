"""What is said in Teams, as activities: answers with the AI label, citations, thumbs and a card; plain sentences.

Made of text that may leave and of nothing else. Feedback and labels: Microsoft Learn, "Bot messages with AI-generated
content"; the limits of a citation are those that Microsoft's library holds.
"""

from typing import Final

from microsoft_teams.api.activities.message import MessageActivityInput
from microsoft_teams.api.activities.typing import TypingActivityInput
from microsoft_teams.api.models.entity.citation_entity import CitationAppearance

from bot.gateway.channel import AnswerEnded
from bot.gateway.outbound import OutboundText
from bot.gateway.teams.cards import sources_card
from llm_service.client import Locale

MAXIMUM_NAME_CHARACTERS: Final = 80
MAXIMUM_ABSTRACT_CHARACTERS: Final = 160
MAXIMUM_TEXT_CHARACTERS: Final = 25_000
"""Well within the 100 KB that Teams takes for one message, in Korean."""


def answer(ended: AnswerEnded, title: OutboundText, locale: Locale) -> MessageActivityInput:
    """A finished answer. Its citations have the numbers that stand in its text as [n]; `title` heads the sources."""
    message = said(ended.text.clipped(MAXIMUM_TEXT_CHARACTERS)).add_ai_generated().add_feedback("custom")
    for source in ended.sources:
        message.add_citation(
            source.number,
            CitationAppearance(
                name=source.label.clipped(MAXIMUM_NAME_CHARACTERS).text,
                abstract=source.quotation.clipped(MAXIMUM_ABSTRACT_CHARACTERS).text,
            ),
        )
    if ended.sources:
        message.add_card(sources_card(ended.sources, title, locale))
    return message


def said(text: OutboundText) -> MessageActivityInput:
    """A sentence of ours, or a reply of a rule."""
    return MessageActivityInput(text=text.text, text_format="markdown")


def typing() -> TypingActivityInput:
    """The three dots, where nothing can be streamed."""
    return TypingActivityInput()
