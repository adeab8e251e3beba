"""How often people may ask, through whichever channel: for the web, the widget, Slack and Teams the same rules.

Knows the rules of the settings and the codes of their sentences; how counting works stands in `rate_limit.py`.
"""

from collections.abc import Callable

from bot.gateway.errors import Declined
from bot.gateway.metrics import Metrics
from bot.gateway.rate_limit import Limited, Pace, RateLimit, Ration
from bot.gateway.settings import GatewaySettings

Pseudonym = Callable[[str], str]


class Limits:
    """Lets through or raises `Declined` 429 with the seconds to wait; the sentence says when to come back."""

    def __init__(self, limit: RateLimit, settings: GatewaySettings, pseudonym: Pseudonym, metrics: Metrics) -> None:
        """`pseudonym` is a keyed hash: neither users nor addresses are counted by name."""
        self._limit = limit
        self._settings = settings
        self._pseudonym = pseudonym
        self._metrics = metrics

    async def question(self, channel: str, user: str, address: str | None = None) -> None:
        """Count a question of a person in a channel; `address` is the network address where the channel sees one."""
        settings = self._settings
        per_minute = settings.questions_per_minute_per_channel
        of_channel = Limited(f"channel:{channel}", Pace(per_minute, per_minute), "channel_busy")
        of_day = Limited(
            self._subject("day", f"{channel}:{user}"),
            Ration(settings.questions_per_day_per_user),
            "daily_limit_reached",
        )
        await self._take(channel, [*self._pace_of(channel, user, address), of_day, of_channel])

    async def remark(self, channel: str, user: str, address: str | None = None) -> None:
        """Count feedback or a rating: at the pace of questions, without using up the day's."""
        await self._take(channel, self._pace_of(channel, user, address))

    async def session(self, channel: str, address: str) -> None:
        """Count a session that an address opens."""
        per_minute = self._settings.sessions_per_minute_per_address
        rule = Pace(per_minute, per_minute)
        await self._take(channel, [Limited(self._subject("session", address), rule, "too_many_sessions")])

    async def close(self) -> None:
        await self._limit.close()

    def _pace_of(self, channel: str, user: str, address: str | None) -> list[Limited]:
        settings = self._settings
        of_user = Pace(settings.questions_per_minute_per_user, settings.questions_at_once_per_user)
        found = [Limited(self._subject("user", f"{channel}:{user}"), of_user, "too_many_questions")]
        if address is not None:
            per_minute = settings.questions_per_minute_per_address
            rule = Pace(per_minute, per_minute)
            found.append(Limited(self._subject("address", address), rule, "too_many_questions"))
        return found

    async def _take(self, channel: str, limits: list[Limited]) -> None:
        refused = await self._limit.take(limits)
        if refused is not None:
            self._metrics.limited.labels(channel, refused.code).inc()
            raise Declined(refused.code, 429, refused.seconds)

    def _subject(self, kind: str, name: str) -> str:
        return f"{kind}:{self._pseudonym(f'{kind}:{name}')}"
