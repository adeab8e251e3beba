"""The sources of an answer as an Adaptive Card 1.5: a line each, its passage unfolded by a tap.

The correction form is the door's (`bot/teams_door/dialogs.py`), which has to answer at once.
"""

from collections.abc import Sequence
from typing import Final

from microsoft_teams.cards.core import (
    Action,
    ActionSet,
    AdaptiveCard,
    CardElement,
    Container,
    TextBlock,
    ToggleVisibilityAction,
)

from bot.gateway.channel import OutboundSource
from bot.gateway.outbound import OutboundText
from llm_service.client import Locale

SCHEMA: Final = "http://adaptivecards.io/schemas/adaptive-card.json"
MAXIMUM_PASSAGE_CHARACTERS: Final = 400
MAXIMUM_TITLE_CHARACTERS: Final = 60


def sources_card(sources: Sequence[OutboundSource], title: OutboundText, locale: Locale) -> AdaptiveCard:
    """One card for all sources. Text in a card is Markdown too: brackets and stars of labels stay what they are."""
    body: list[CardElement] = [TextBlock(text=title.text, weight="Bolder", wrap=True)]
    actions: list[Action] = []
    for source in sources:
        passage = f"passage-{source.number}"
        label = f"[{source.number}] {source.label.text}"
        body.append(TextBlock(text=_literal(label), wrap=True))
        body.append(
            Container(
                id=passage,
                is_visible=False,
                style="emphasis",
                items=[TextBlock(text=_literal(source.quotation.clipped(MAXIMUM_PASSAGE_CHARACTERS).text), wrap=True)],
            )
        )
        actions.append(ToggleVisibilityAction(title=f"[{source.number}]", target_elements=[passage]))
    body.append(ActionSet(actions=actions))
    return AdaptiveCard(schema=SCHEMA, version="1.5", lang=locale, body=body)


def _literal(text: str) -> str:
    for mark in "\\*_[]":
        text = text.replace(mark, "\\" + mark)
    return text
