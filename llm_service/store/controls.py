"""Questions about what an admin sets while the platform runs: whether answers are given, how long things are kept.

A control that nobody set, or that was given back, is the environment's; each change is audited with the change itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, InvalidInput, NotFound
from llm_service.masked import MaskedText
from llm_service.store import audit
from llm_service.store.control_models import Control
from llm_service.store.models import VaultEntry, now

ANSWERS: Final = "answers"
"""The kill switch: False while nobody is given an answer from documents."""
VAULT_SECONDS: Final = "vault_seconds"


@dataclass(frozen=True)
class Limits:
    """Between which whole numbers a control may be set."""

    lowest: int
    highest: int


LIMITS: Final[Mapping[str, Limits]] = {
    "retention_days_turns": Limits(1, 1825),
    "retention_days_feedback": Limits(1, 1825),
    # 안전성 확보조치 기준 art. 8: records of access are kept for two years or more.
    "retention_days_audit": Limits(730, 3650),
    VAULT_SECONDS: Limits(60, 86_400),
}
NAMES: Final = (ANSWERS, *LIMITS)


def answers_are_on(session: Session) -> bool:
    """Whether questions are answered from documents; they are until somebody switches it off."""
    found = session.scalar(select(Control).where(Control.name == ANSWERS))
    return found is None or found.value is not False


def all_set(session: Session) -> dict[str, Control]:
    """Every control that was ever set, by name; one that was given back has the value None."""
    return {found.name: found for found in session.scalars(select(Control))}


def number(session: Session, name: str) -> int | None:
    """What was set in the place of the environment's number; None where nothing is."""
    value = session.scalar(select(Control.value).where(Control.name == name))
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def switch_answers(
    session: Session, actor: str, *, is_on: bool, reason: str, note: MaskedText | None, version: int | None = None
) -> Control:
    """Switch answers on or off; what is so already stays as it is, with the reason it has.

    Raises `Conflict` (control_changed) where `version` is given and is no longer the newest.
    """
    found = _locked(session, ANSWERS)
    if answers_are_on(session) == is_on and found is not None:
        return found
    _refuse_outdated(found, version)
    changed = _set(session, found, Control(name=ANSWERS, value=is_on, reason=reason, note=note, changed_by=actor))
    action = "answers.switched_on" if is_on else "answers.switched_off"
    audit.record(session, actor, action, "control", ANSWERS, {"reason": reason, "version": changed.version})
    return changed


def set_number(
    session: Session, actor: str, name: str, value: int | None, reason: str, note: MaskedText | None, version: int
) -> Control:
    """Set a number in the place of the environment's, or give it back with None.

    Raises `NotFound` (control_not_found), `InvalidInput` (control_out_of_limits), `Conflict` (control_changed).
    """
    if name not in LIMITS:
        raise NotFound("control_not_found", "there is no such control")
    limits = LIMITS[name]
    if value is not None and not limits.lowest <= value <= limits.highest:
        raise InvalidInput("control_out_of_limits", f"{name} lies between {limits.lowest} and {limits.highest}")
    found = _locked(session, name)
    _refuse_outdated(found, version)
    before = found.value if found else None
    changed = _set(session, found, Control(name=name, value=value, reason=reason, note=note, changed_by=actor))
    if name == VAULT_SECONDS and value is not None:
        _shorten_vault(session, value)
    details = {"name": name, "before": before, "after": value, "reason": reason, "version": changed.version}
    audit.record(session, actor, "control.changed", "control", name, details)
    return changed


def _set(session: Session, found: Control | None, wanted: Control) -> Control:
    if found is None:
        session.add(wanted)
        session.flush()
        return wanted
    found.value, found.reason, found.note = wanted.value, wanted.reason, wanted.note
    found.changed_by, found.changed_at, found.version = wanted.changed_by, now(), found.version + 1
    session.flush()
    return found


def _locked(session: Session, name: str) -> Control | None:
    statement = select(Control).where(Control.name == name).with_for_update()
    return session.scalar(statement.execution_options(populate_existing=True))


def _refuse_outdated(found: Control | None, version: int | None) -> None:
    if version is not None and version != (found.version if found else 0):
        raise Conflict("control_changed", "somebody else set it a moment ago; look at it again")


def _shorten_vault(session: Session, seconds: int) -> None:
    """What the vault holds already is held no longer than what it takes from now on."""
    latest: datetime = now() + timedelta(seconds=seconds)
    session.execute(
        update(VaultEntry)
        .where(VaultEntry.expires_at > latest)
        .values(expires_at=latest)
        .execution_options(synchronize_session=False)
    )
