"""Block Kit of what Slack shows: sources, notices, thumbs, the form of a correction. Built by Slack's own models.

Takes `OutboundText` and nothing else that a person reads. Knows no calls.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from slack_sdk.models.blocks import (
    ContextActionsBlock,
    ContextBlock,
    FeedbackButtonObject,
    FeedbackButtonsElement,
    InputBlock,
    MarkdownBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    RichTextBlock,
    StaticSelectElement,
)
from slack_sdk.models.blocks.block_elements import (
    RichTextElementParts,
    RichTextQuoteElement,
    RichTextSectionElement,
)
from slack_sdk.models.views import View

from bot.gateway.channel import OutboundSource
from bot.gateway.outbound import OutboundText
from bot.gateway.slack.deliveries import (
    CORRECTION_BLOCK,
    CORRECTION_FIELD,
    CORRECTION_VIEW,
    DOWN,
    JUDGE_ACTION,
    REASON_BLOCK,
    REASON_FIELD,
    UP,
)

MARKDOWN_CHARACTERS: Final = 11_000
"""Of one message; Slack takes 12,000 (docs.slack.dev, markdown block), counted after its own conversion."""
CORRECTION_CHARACTERS: Final = 3000
REASONS: Final = ("wrong", "outdated", "missing_source", "incomplete", "unclear")
SUGGESTIONS: Final = ("suggestion_1", "suggestion_2", "suggestion_3")

Words = Callable[[str], OutboundText]
"""The channel's own sentences in the person's language, by code."""


def markdown(text: OutboundText) -> dict[str, Any]:
    """A text as a block that reads Markdown."""
    return _made(MarkdownBlock(text=text.text))


def note(text: OutboundText) -> dict[str, Any]:
    """A small line below an answer."""
    return _made(ContextBlock(elements=[PlainTextObject(text=text.text)]))


def below_answer(sources: Sequence[OutboundSource], handle: OutboundText | None, words: Words) -> list[dict[str, Any]]:
    """What stands under an answer: its sources, that a machine wrote it, and thumbs where it can be judged."""
    found = [_sources(sources, words)] if sources else []
    found.append(note(words("ai_notice")))
    if handle is not None:
        found.append(_thumbs(handle, words))
    return found


def correction_form(handle: OutboundText, place: dict[str, str], words: Words) -> dict[str, Any]:
    """The form behind a thumb down: a reason, a correction, both optional. `place` is where thanks are said."""
    reasons = [Option(value=reason, text=words(f"reason_{reason}").text) for reason in REASONS]
    return _made(
        View(
            type="modal",
            callback_id=CORRECTION_VIEW,
            title=PlainTextObject(text=words("form_title").text),
            submit=PlainTextObject(text=words("form_send").text),
            close=PlainTextObject(text=words("form_close").text),
            private_metadata=json.dumps({"handle": handle.text, **place}),
            blocks=[
                InputBlock(
                    block_id=REASON_BLOCK,
                    optional=True,
                    label=PlainTextObject(text=words("form_reason").text),
                    element=StaticSelectElement(action_id=REASON_FIELD, options=reasons),
                ),
                InputBlock(
                    block_id=CORRECTION_BLOCK,
                    optional=True,
                    label=PlainTextObject(text=words("form_correction").text),
                    hint=PlainTextObject(text=words("form_no_personal_data").text),
                    element=PlainTextInputElement(
                        action_id=CORRECTION_FIELD, multiline=True, max_length=CORRECTION_CHARACTERS
                    ),
                ),
            ],
        )
    )


def suggested_prompts(words: Words) -> list[dict[str, str]]:
    """What a person who opens the agent may begin with."""
    return [{"title": words(code).text, "message": words(code).text} for code in SUGGESTIONS]


def _sources(sources: Sequence[OutboundSource], words: Words) -> dict[str, Any]:
    # Rich text shows every character as it is: nothing in a document's title can become a mention or a link.
    bold = RichTextElementParts.TextStyle(bold=True)
    elements: list[Any] = [
        RichTextSectionElement(elements=[RichTextElementParts.Text(text=words("sources").text, style=bold)])
    ]
    for source in sources:
        label = RichTextElementParts.Text(text=f"[{source.number}] {source.label.text}", style=bold)
        quotation = RichTextElementParts.Text(text=source.quotation.text)
        elements += [RichTextSectionElement(elements=[label]), RichTextQuoteElement(elements=[quotation])]
    return _made(RichTextBlock(elements=elements))


def _thumbs(handle: OutboundText, words: Words) -> dict[str, Any]:
    up = FeedbackButtonObject(text=words("thumb_up").text, value=f"{UP}:{handle.text}")
    down = FeedbackButtonObject(text=words("thumb_down").text, value=f"{DOWN}:{handle.text}")
    element = FeedbackButtonsElement(action_id=JUDGE_ACTION, positive_button=up, negative_button=down)
    return _made(ContextActionsBlock(elements=[element]))


def _made(model: Any) -> dict[str, Any]:  # slack_sdk's models share no typed base for to_dict
    made: dict[str, Any] = model.to_dict()
    return made
