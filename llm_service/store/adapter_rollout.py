"""Questions about which adapter serves: aliases, promotions, the lock of who promotes, rolling back.

Every function that moves an alias does it in the caller's one transaction, with its audit row, or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, NotPermitted
from llm_service.store import adapters, audit
from llm_service.store.adapter_models import AdapterAlias, AdapterLock, AdapterPromotion
from llm_service.store.models import now

Target = Literal["active", "canary"]
WATCH: Final = "watch"


@dataclass(frozen=True)
class Aliases:
    """Who serves. None as `active` or `previous` is the base model; without `has_previous` there is no way back."""

    active: str | None = None
    active_since: datetime | None = None
    previous: str | None = None
    has_previous: bool = False
    canary: str | None = None
    canary_since: datetime | None = None
    share: float = 0.0

    @property
    def names(self) -> frozenset[str]:
        """Every version that must be loaded."""
        return frozenset(name for name in (self.active, self.previous, self.canary) if name)


@dataclass(frozen=True)
class Lock:
    """Proof of holding the lock at one time; outdated as soon as somebody else has taken it."""

    holder: str
    fence: int


def aliases(session: Session) -> Aliases:
    rows = {row.alias: row for row in session.scalars(select(AdapterAlias))}
    active, previous, canary = rows.get("active"), rows.get("previous"), rows.get("canary")
    return Aliases(
        active=active.adapter if active else None,
        active_since=active.since if active else None,
        previous=previous.adapter if previous else None,
        has_previous=previous is not None,
        canary=canary.adapter if canary else None,
        canary_since=canary.since if canary else None,
        share=(canary.share or 0.0) if canary else 0.0,
    )


def take_lock(session: Session, holder: str, seconds: float) -> Lock | None:
    """The lock for some seconds, taken or prolonged; None while somebody else holds it."""
    row = _lock_row(session)
    if row.holder != holder:
        if row.expires_at > now():
            return None
        row.holder, row.fence = holder, row.fence + 1
    row.expires_at = now() + timedelta(seconds=seconds)
    return Lock(holder, row.fence)


def release_lock(session: Session, lock: Lock) -> None:
    """Let the next process take the lock at once."""
    row = _lock_row(session)
    if (row.holder, row.fence) == (lock.holder, lock.fence):
        row.expires_at = now()


def start_promotion(
    session: Session, name: str, target: Target, share: float | None, started_by: str, purpose: str | None = None
) -> AdapterPromotion:
    """Begin to bring an approved version into service; asked again while it is being loaded, it is the same one.

    `purpose`, a code, is why it is wanted.

    Raises `NotFound` (adapter_not_found), `NotPermitted` (promotion_of_own_work), `Conflict` (adapter_rejected,
    adapter_not_approved, adapter_serving_already, promotion_running).
    """
    _refuse_trainer(session, name, started_by)
    adapters.refuse_rejected(session, name)
    running = running_promotion(session)
    if running is not None:
        if (running.adapter, running.target, running.share) == (name, target, share):
            return running
        raise Conflict("promotion_running", "another promotion is under way; wait for it, or roll back to cancel it")
    serving = aliases(session)
    if name == serving.active or (target == "canary" and name == serving.canary):
        raise Conflict("adapter_serving_already", "the version is serving already")
    approval = adapters.valid_approval(session, name)
    promotion = AdapterPromotion(
        target=target, adapter=name, approval_id=approval.id, share=share, started_by=started_by, purpose=purpose
    )
    session.add(promotion)
    session.flush()
    details = {"promotion_id": promotion.id, "target": target, "share": share, "approval_id": approval.id}
    details |= {"purpose": purpose}
    audit.record(session, started_by, "adapter.promotion_started", "adapter", name, details)
    return promotion


def running_promotion(session: Session) -> AdapterPromotion | None:
    """The promotion that is loading, if there is one."""
    return session.scalar(select(AdapterPromotion).where(AdapterPromotion.slot.is_not(None)))


def promotion(session: Session, promotion_id: str) -> AdapterPromotion:
    return session.get_one(AdapterPromotion, promotion_id)


def recent_promotions(session: Session, limit: int) -> list[AdapterPromotion]:
    """The newest first."""
    return list(session.scalars(select(AdapterPromotion).order_by(AdapterPromotion.created_at.desc()).limit(limit)))


def note_progress(session: Session, promotion_id: str, lock: Lock, details: Mapping[str, Any]) -> None:
    """Keep what the replicas still lack. Raises `Conflict` (promotion_lock_lost, promotion_over)."""
    _loading(session, promotion_id, lock).details = dict(details)


def fail_promotion(session: Session, promotion_id: str, lock: Lock, reason: str, details: Mapping[str, Any]) -> None:
    """End a promotion that cannot be finished; nothing was flipped. Raises as `note_progress`."""
    row = _loading(session, promotion_id, lock)
    _end(row, "failed", reason)
    row.details = dict(details)
    audit.record(
        session, row.started_by, "adapter.promotion_failed", "adapter", row.adapter, {"reason": reason, **details}
    )


def flip(session: Session, promotion_id: str, lock: Lock) -> Aliases:
    """Make the promoted version serve: one transaction moves every alias. Raises as `note_progress`."""
    row = _loading(session, promotion_id, lock)
    before = aliases(session)
    if row.target == "active":
        _flip_active(session, row, before)
    else:
        _replace_serving(session, before.canary, "canary")
        _put(session, "canary", row.adapter, row.approval_id, row.share)
    row.state, row.slot, row.serving_at = "serving", None, now()
    adapters.set_state(session, row.adapter, "candidate", "", row.started_by)
    after = aliases(session)
    details = {"promotion_id": row.id, "target": row.target, "share": row.share, "before": before.active}
    audit.record(session, row.started_by, "adapter.promoted", "adapter", row.adapter, details)
    return after


def set_share(session: Session, share: float, by: str) -> Aliases:
    """Give the canary another share of the conversations.

    Raises `Conflict` (no_canary) and `NotPermitted` (promotion_of_own_work).
    """
    _lock_row(session)
    row = session.get(AdapterAlias, "canary")
    if row is None or row.adapter is None:
        raise Conflict("no_canary", "there is no canary; promote a version as one first")
    _refuse_trainer(session, row.adapter, by)
    details = {"before": row.share, "share": share}
    row.share = share
    session.flush()
    audit.record(session, by, "adapter.canary_share", "adapter", row.adapter, details)
    return aliases(session)


def roll_back(
    session: Session, target: Target, by: str, reason: str, evidence: Mapping[str, Any] | None = None
) -> Aliases:
    """Take the canary out, or let the previous version be active again; whatever is being loaded is cancelled.

    By the watch the version is rejected for good; by a person it stays a candidate, whose approval is spent.
    Raises `Conflict` (nothing_to_roll_back) when nothing serves that could be taken out and nothing is loading.
    """
    _lock_row(session)
    before = aliases(session)
    cancelled = _cancel_running(session, reason)
    name = before.canary if target == "canary" else before.active
    row = session.get(AdapterAlias, target)
    can_leave = row is not None and (target == "canary" or before.has_previous)
    if not can_leave and not cancelled:
        raise Conflict("nothing_to_roll_back", "nothing serves that could be rolled back; see `haechi adapters status`")
    if can_leave:
        if target == "active":
            _restore_previous(session)
        elif row is not None:
            session.delete(row)
            session.flush()
        if name is not None:
            _leave_service(session, name, target, by, reason)
    details = {"target": target, "reason": reason, "cancelled": cancelled, **(evidence or {})}
    audit.record(session, by, "adapter.rolled_back", "adapter", name or "base", details)
    return aliases(session)


def serving_promotion(session: Session, name: str, target: Target) -> AdapterPromotion | None:
    """The promotion by which a version serves now."""
    return session.scalar(
        select(AdapterPromotion).where(
            AdapterPromotion.adapter == name, AdapterPromotion.target == target, AdapterPromotion.state == "serving"
        )
    )


def _refuse_trainer(session: Session, name: str, person: str) -> None:
    """Nobody brings what they trained to people; the database refuses the promotion too."""
    if person == adapters.adapter_named(session, name).trained_by:
        raise NotPermitted("promotion_of_own_work", "somebody else than who trained the version promotes it")


def _flip_active(session: Session, row: AdapterPromotion, before: Aliases) -> None:
    active = session.get(AdapterAlias, "active")
    was = (active.adapter, active.approval_id) if active else (None, None)
    if before.previous and before.previous not in (row.adapter, before.canary):
        adapters.set_state(session, before.previous, "retired", "replaced", row.started_by)
    _replace_serving(session, before.active, "active")
    if before.canary == row.adapter:
        _replace_serving(session, before.canary, "canary")
        session.delete(session.get_one(AdapterAlias, "canary"))
        session.flush()
    _put(session, "previous", *was)
    _put(session, "active", row.adapter, row.approval_id)


def _restore_previous(session: Session) -> None:
    previous = session.get_one(AdapterAlias, "previous")
    _put(session, "active", previous.adapter, previous.approval_id)
    session.delete(previous)
    session.flush()


def _leave_service(session: Session, name: str, target: Target, by: str, reason: str) -> None:
    row = serving_promotion(session, name, target)
    if row is not None:
        _end(row, "rolled_back", reason)
    if by == WATCH:
        adapters.set_state(session, name, "rejected", reason, by)


def _replace_serving(session: Session, name: str | None, target: Target) -> None:
    row = serving_promotion(session, name, target) if name else None
    if row is not None:
        _end(row, "replaced", "")
        session.flush()


def _cancel_running(session: Session, reason: str) -> str | None:
    row = running_promotion(session)
    if row is None:
        return None
    _end(row, "cancelled", reason)
    session.flush()
    return row.adapter


def _end(row: AdapterPromotion, state: str, reason: str) -> None:
    row.state, row.slot, row.reason, row.ended_at = state, None, reason, now()


def _put(
    session: Session, alias: str, adapter: str | None, approval_id: str | None, share: float | None = None
) -> None:
    row = session.get(AdapterAlias, alias)
    if row is None:
        row = AdapterAlias(alias=alias)
        session.add(row)
    row.adapter, row.approval_id, row.share, row.since = adapter, approval_id, share, now()
    session.flush()


def _loading(session: Session, promotion_id: str, lock: Lock) -> AdapterPromotion:
    held = _lock_row(session)
    if (held.holder, held.fence) != (lock.holder, lock.fence):
        raise Conflict("promotion_lock_lost", "another process goes on with the promotion")
    row = session.scalar(
        select(AdapterPromotion)
        .where(AdapterPromotion.id == promotion_id, AdapterPromotion.slot.is_not(None))
        .with_for_update()
    )
    if row is None:
        raise Conflict("promotion_over", "the promotion has ended already")
    return row


def _lock_row(session: Session) -> AdapterLock:
    statement = select(AdapterLock).where(AdapterLock.id == 1).with_for_update()
    row = session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        row = AdapterLock(id=1, holder="", fence=0, expires_at=now())
        session.add(row)
        session.flush()
    return row
