"""How much was asked and how it went, over a period; and the counting that keeps the question cheap."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.errors import HaechiError
from llm_service.logs import get_logger
from llm_service.operations_client import Counts, StatisticsView
from llm_service.store import review, statistics
from llm_service.store.models import now
from llm_service.store.statistics import HOUR, Tally
from llm_service.store.transactions import Transactions

STEPS: Final = {24: 1, 168: 6, 720: 24}
"""The hours of a step, by the hours of the period."""
HOURS_AT_ONCE: Final = 24
COUNT_EVERY_SECONDS: Final = 60.0
LOG = get_logger(__name__)


class StatisticsDesk:
    """Counts closed hours in the background, and adds them up on request."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def of_period(self, hours: int, channel: str) -> StatisticsView:
        """The newest `hours` (a key of `STEPS`); `channel` narrows the steps and the total, unless it is empty."""
        return await self._transactions.read(partial(_of_period, hours=hours, channel=channel, at=now()))

    async def count(self) -> int:
        """Count every hour that is over and is not yet counted; returns how many."""
        counted = 0
        # Piece by piece, so that on a file of records other writers come in between.
        while some := await self._transactions.run(partial(statistics.count_closed_hours, limit=HOURS_AT_ONCE)):
            counted += some
        return counted

    async def keep_counting(self) -> None:
        """Count for ever; while the records cannot be reached or others count, later."""
        while True:
            try:
                await self.count()
            except HaechiError as error:
                LOG.warning("hours could not be counted", code=error.code)
            await asyncio.sleep(COUNT_EVERY_SECONDS)


def _of_period(session: Session, hours: int, channel: str, at: datetime) -> StatisticsView:
    step = STEPS[hours]
    since = statistics.hour_of(at) - (hours - 1) * HOUR
    starts = [since + number * step * HOUR for number in range(hours // step)]
    by_step = {start: Tally() for start in starts}
    by_channel: dict[str, Tally] = {}
    for start, of_channel, tally in statistics.by_step(session, since, at, step):
        by_channel.setdefault(of_channel, Tally()).add(tally)
        if channel in ("", of_channel):
            by_step[start].add(tally)
    oldest = review.oldest_open(session)
    return StatisticsView(
        since=since.isoformat(),
        until=at.isoformat(),
        step_hours=step,
        total=_counts(channel, _sum(by_step.values())),
        channels=[_counts(name, tally) for name, tally in sorted(by_channel.items())],
        points=[_counts(start.isoformat(), tally) for start, tally in by_step.items()],
        oldest_waiting=oldest.isoformat() if oldest else None,
    )


def _counts(name: str, tally: Tally) -> Counts:
    return Counts(name, **asdict(tally))


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
