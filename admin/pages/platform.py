"""Settings: the kill switch of the answers, how long things are kept, and what only the environment says.

Whether a change is allowed and within its limits is llm_service's to say; each carries a reason and is audited there.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.errors import Declined
from admin.logins import Person
from admin.pages.choices import REASONS_TO_CHANGE, REASONS_TO_SWITCH_OFF, REASONS_TO_SWITCH_ON
from admin.parts import Parts, parts_of
from admin.people import names, operations_of
from admin.rendering import back, page

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
Reason = Annotated[str, Form(max_length=32)]
Note = Annotated[str, Form(max_length=300)]
Version = Annotated[int, Form(ge=0)]
NUMBERS: Final = ("retention_days_turns", "retention_days_feedback", "retention_days_audit", "vault_seconds")
ControlName = Annotated[str, Path(pattern=rf"^({'|'.join(NUMBERS)})$")]


@router.get("/platform", name="platform")
async def platform(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """What holds now, who set it, why and when."""
    return page(
        request,
        "platform.html",
        person,
        shown=await operations_of(parts, person).controls(),
        own=_own_settings(parts),
        numbers=NUMBERS,
        reasons_off=REASONS_TO_SWITCH_OFF,
        reasons_on=REASONS_TO_SWITCH_ON,
        reasons=REASONS_TO_CHANGE,
        names=await names(parts),
    )


@router.post("/platform/answers/off", name="switch_answers_off")
async def switch_answers_off(parts: PartsHere, person: Acting, reason: Reason = "", note: Note = "") -> Response:
    """Nobody is answered from documents any more; an outdated page may say so too, since nothing is safer."""
    return await _switched(parts, person, REASONS_TO_SWITCH_OFF, is_on=False, reason=reason, note=note, version=None)


@router.post("/platform/answers/on", name="switch_answers_on")
async def switch_answers_on(
    parts: PartsHere, person: Acting, version: Version, reason: Reason = "", note: Note = ""
) -> Response:
    """Answers are given again, if nobody has switched since the page was loaded."""
    return await _switched(parts, person, REASONS_TO_SWITCH_ON, is_on=True, reason=reason, note=note, version=version)


@router.post("/platform/controls/{name}", name="set_control")
async def set_control(
    parts: PartsHere,
    person: Acting,
    name: ControlName,
    version: Version,
    reason: Reason = "",
    value: Annotated[int | None, Form()] = None,
    note: Note = "",
    give_back: Annotated[bool, Form()] = False,
) -> Response:
    """Keep something for another time, or for as long as the environment says."""
    if reason not in REASONS_TO_CHANGE:
        raise Declined("reason_missing", 422)
    if value is None and not give_back:
        raise Declined("invalid_request", 422)
    await operations_of(parts, person).set_control(name, None if give_back else value, reason, note, version)
    return back("/platform", "control_set")


async def _switched(
    parts: Parts, person: Person, reasons: tuple[str, ...], *, is_on: bool, reason: str, note: str, version: int | None
) -> Response:
    if reason not in reasons:
        raise Declined("reason_missing", 422)
    await operations_of(parts, person).switch_answers(is_on=is_on, reason=reason, note=note, version=version)
    return back("/platform", "answers_on" if is_on else "answers_off")


def _own_settings(parts: Parts) -> dict[str, bool | int | str]:
    settings = parts.settings
    return {
        "HAECHI_CONSOLE_IDLE_MINUTES": settings.console_idle_minutes,
        "HAECHI_CONSOLE_ABSOLUTE_HOURS": settings.console_absolute_hours,
        "HAECHI_CONSOLE_SECOND_FACTOR": settings.console_second_factor,
    }
