"""An example's question answered anew by several versions side by side, for whoever reviews it; nothing is kept of it.

That it was done is an audit row. An answer that cannot be had is told by its code, and the others are still shown.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import date
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.answering.runner import Story
from llm_service.answering.story import Finished, Question
from llm_service.client import Audience, Locale, Source
from llm_service.errors import HaechiError, Unavailable
from llm_service.operations_client import ComparedAnswer
from llm_service.store import audit, review
from llm_service.store.transactions import Transactions

MS_PER_SECOND: Final = 1000


class SideBySide:
    """Asks `story`, the same that answers people, within `timeout_seconds` an answer."""

    def __init__(
        self, transactions: Transactions, story: Story, today: Callable[[], date], timeout_seconds: float
    ) -> None:
        self._transactions = transactions
        self._story = story
        self._today = today
        self._timeout_seconds = timeout_seconds

    async def compare(self, person: str, item_id: str, adapters: Sequence[str | None]) -> list[ComparedAnswer]:
        """An answer of each version, in the order asked for; None is the base. Raises `NotFound`."""
        work = partial(_question, person=person, item_id=item_id, as_of=self._today(), versions=len(adapters))
        question = await self._transactions.run(work)
        return list(await asyncio.gather(*(self._answered(question, adapter) for adapter in adapters)))

    async def _answered(self, question: Question, adapter: str | None) -> ComparedAnswer:
        asked = Question(
            question.text, (), question.audience, question.as_of, question.locale, question.groups, adapter=adapter
        )
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                told = await self._told(asked)
        except TimeoutError:
            return ComparedAnswer(adapter, None, refused=False, engine="", error_code="answer_timeout")
        except HaechiError as error:
            return ComparedAnswer(adapter, None, refused=False, engine="", error_code=error.code)
        return ComparedAnswer(
            adapter=adapter,
            answer=told.answer,
            refused=told.refused,
            engine=told.engine,
            sources=[Source(**vars(source)) for source in told.sources],
            cut_sentences=sum(not verdict.passed for verdict in told.verdicts),
            milliseconds=round((time.perf_counter() - started) * MS_PER_SECOND, 1),
        )

    async def _told(self, question: Question) -> Finished:
        async with aclosing(self._story.tell(question)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Finished):
                    return event
        raise Unavailable("answer_failed", "the engine ended without finishing its answer")


def _question(session: Session, person: str, item_id: str, as_of: date, versions: int) -> Question:
    found = review.item(session, item_id)
    audience: Audience = "customer" if found.audience == "customer" else "staff"
    locale: Locale = "en" if found.locale == "en" else "ko"
    audit.record(session, person, "review.compared", "review_item", item_id, {"versions": versions})
    return Question(found.proposed_question, (), audience, as_of, locale)
