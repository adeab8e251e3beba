"""The first page: how it goes, what waits for this person, whether the parts work; and the page about oneself."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from admin.access import Acting
from admin.logins import Person
from admin.pages.choices import STATES
from admin.parts import Parts, parts_of
from admin.people import learning_of, operations_of
from admin.policies import may
from admin.rendering import page
from llm_service.client import ServiceError
from llm_service.learning_client import COUNTED_UP_TO, TrainingRunView
from llm_service.operations_client import StatisticsView

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
HOURS: Final = {"24h": 24, "7d": 168, "30d": 720}
Period = Literal["24h", "7d", "30d"]
Channel = Annotated[str, Query(pattern=r"^([a-z][a-z0-9_-]{0,15})?$")]
NEWEST_RUNS: Final = 5
DEGRADED: Final = "degraded"
"""What llm_service says of a part for which something stands in; of the answers, that they are switched off."""


@router.get("/", name="dashboard")
async def dashboard(
    request: Request, parts: PartsHere, person: Acting, period: Period = "24h", channel: Channel = ""
) -> HTMLResponse:
    """Counts of a period, of one channel or all; the queue; the parts. Without llm_service only the last."""
    health, statistics, waiting = await asyncio.gather(
        _health(parts), _statistics(parts, person, HOURS[period], channel), _waiting(parts, person)
    )
    return page(
        request,
        "dashboard.html",
        person,
        period=period,
        periods=tuple(HOURS),
        channel=channel,
        statistics=statistics,
        are_answers_off=health.get("answers") == DEGRADED,
        states=STATES,
        health=health,
        **waiting,
    )


@router.get("/profile", name="profile")
async def profile(request: Request, person: Acting) -> HTMLResponse:
    """Who one is here, one's roles, and the keyboard."""
    return page(request, "profile.html", person)


async def _waiting(parts: Parts, person: Person) -> dict[str, Any]:
    """What waits, as far as the person may see it."""
    counts, runs, quarantined = await asyncio.gather(
        _counts(parts, person), _newest_runs(parts, person), _quarantined(parts, person)
    )
    return {"counts": counts, "runs": runs, "quarantined": quarantined}


async def _counts(parts: Parts, person: Person) -> dict[str, int]:
    if not may(person.roles, "reviews"):
        return {}
    return await learning_of(parts, person).review_counts(up_to=COUNTED_UP_TO)


async def _newest_runs(parts: Parts, person: Person) -> list[TrainingRunView]:
    if not may(person.roles, "runs"):
        return []
    return (await learning_of(parts, person).training_runs())[:NEWEST_RUNS]


async def _quarantined(parts: Parts, person: Person) -> int:
    if not may(person.roles, "documents"):
        return 0
    return sum(document["state"] == "quarantined" for document in await parts.llm_service.documents())


async def _statistics(parts: Parts, person: Person, hours: int, channel: str) -> dict[str, object] | None:
    try:
        found = await operations_of(parts, person).statistics(hours, channel)
    except ServiceError:
        return None  # the page says which part does not answer
    return {**vars(found), "waiting_hours": _hours_since(found.oldest_waiting), "rows": _rows(found)}


def _rows(found: StatisticsView) -> list[dict[str, object]]:
    """The steps with the second each begins at, for the chart that is drawn from the table."""
    return [asdict(point) | {"at": int(datetime.fromisoformat(point.name).timestamp())} for point in found.points]


def _hours_since(at: str | None) -> int | None:
    return int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() // 3600) if at else None


async def _health(parts: Parts) -> dict[str, str]:
    try:
        found = await parts.llm_service.ready()
    except ServiceError as error:
        return {"llm_service": error.code}
    return {str(name): str(state) for name, state in found.get("parts", {}).items()}
