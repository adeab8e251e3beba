"""Running the platform: what an admin sets while it runs, what was counted, and conversations looked up by staff."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_service.api.acting import (
    MayChangeControls,
    MayLookUpConversations,
    MayReadControls,
    MayReadStatistics,
    MaySwitchAnswersOff,
    MaySwitchAnswersOn,
)
from llm_service.api.dependencies import ServiceParts
from llm_service.masked import RawText
from llm_service.store.conversation_search import Place, Sought

router = APIRouter(prefix="/v1", tags=["operations"])

MAXIMUM_TURNS = 100
MAXIMUM_WORDS = 200
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SwitchBody(_Body):
    """Why, as a code and in words, which are masked; `version` where an outdated page must not decide."""

    reason: Code
    note: str = ""
    version: int | None = None


class NumberBody(_Body):
    """A number for a control, or None to give it back to the environment."""

    value: int | None
    reason: Code
    note: str = ""
    version: int


class SoughtBody(_Body):
    """Which turns; what is empty is not asked."""

    text: Annotated[str, Field(max_length=MAXIMUM_WORDS)] = ""
    channel: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_-]{0,15})?$")] = ""
    audience: Literal["staff", "customer", ""] = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    rating: Literal["up", "down", "none"] | None = None
    state: Annotated[str, Field(pattern=r"^[a-z]{0,16}$")] = ""
    intent: Annotated[str, Field(pattern=r"^([a-zA-Z][a-zA-Z0-9_/-]{0,63})?$")] = ""
    engine: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    adapter: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    person: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    def as_sought(self) -> Sought:
        told = {name: value or None for name, value in self.model_dump().items()}
        return Sought(user_key=told.pop("person"), **told)


class PlaceBody(_Body):
    """Where the page before ended."""

    at: AwareDatetime
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class SearchBody(_Body):
    """A page of a search."""

    sought: SoughtBody
    after: PlaceBody | None = None
    limit: Annotated[int, Field(ge=1, le=MAXIMUM_TURNS)] = 30


@router.get("/controls")
async def controls(parts: ServiceParts, person: MayReadControls) -> dict[str, Any]:
    """What is set, between which limits, and what only the environment says."""
    return asdict(await parts.controls.show())


@router.post("/controls/answers/off")
async def switch_answers_off(body: SwitchBody, parts: ServiceParts, person: MaySwitchAnswersOff) -> dict[str, Any]:
    """Nobody is given an answer from documents, on any instance, within seconds."""
    note = RawText(body.note)
    return asdict(
        await parts.controls.switch_answers(
            person.key, is_on=False, reason=body.reason, note=note, version=body.version
        )
    )


@router.post("/controls/answers/on")
async def switch_answers_on(body: SwitchBody, parts: ServiceParts, person: MaySwitchAnswersOn) -> dict[str, Any]:
    """Questions are answered from documents again."""
    note = RawText(body.note)
    return asdict(
        await parts.controls.switch_answers(person.key, is_on=True, reason=body.reason, note=note, version=body.version)
    )


@router.post("/controls/{name}")
async def set_control(name: str, body: NumberBody, parts: ServiceParts, person: MayChangeControls) -> dict[str, Any]:
    """Set how long something is kept, or give it back to the environment."""
    note = RawText(body.note)
    return asdict(await parts.controls.set_number(person.key, name, body.value, body.reason, note, body.version))


@router.get("/statistics")
async def statistics(
    parts: ServiceParts,
    person: MayReadStatistics,
    hours: Literal["24", "168", "720"] = "24",
    channel: Annotated[str, Query(pattern=r"^([a-z][a-z0-9_-]{0,15})?$")] = "",
) -> dict[str, Any]:
    """Turns, refusals, cut sentences, masked values and verdicts of the newest hours."""
    return asdict(await parts.statistics.of_period(int(hours), channel))


@router.post("/conversations/search")
async def search_conversations(body: SearchBody, parts: ServiceParts, person: MayLookUpConversations) -> dict[str, Any]:
    """A page of turns, the newest first. The words travel in the body: an address is written down in many places."""
    after = Place(body.after.at, body.after.id) if body.after else None
    return asdict(await parts.conversations.search(person.key, body.sought.as_sought(), after, body.limit))


@router.get("/conversations/{conversation_id}")
async def conversation(
    conversation_id: str,
    parts: ServiceParts,
    person: MayLookUpConversations,
    from_position: Annotated[int, Query(ge=1)] = 1,
) -> dict[str, Any]:
    """A conversation, masked. That it was read is an audit row."""
    return asdict(await parts.conversations.open(person.key, conversation_id, from_position))
