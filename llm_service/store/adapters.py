"""Questions about adapter versions: registered once, proposed, approved by somebody else, rejected for good.

Which of them serves is asked of `adapter_rollout`. People are keyed hashes throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, NotFound, NotPermitted
from llm_service.masked import MaskedText
from llm_service.store import audit
from llm_service.store.adapter_models import (
    Adapter,
    AdapterApproval,
    AdapterProbe,
    AdapterPromotion,
    AdapterProposal,
    AdapterState,
)
from llm_service.store.models import now

DIGITS_OF_HASH = 12


@dataclass(frozen=True)
class RecordedProbe:
    """A prompt and the hashes of what the adapter and its base answered to it when the adapter was evaluated."""

    prompt: MaskedText
    system: MaskedText
    user: MaskedText
    maximum_tokens: int
    answer_sha256: str
    base_answer_sha256: str


@dataclass(frozen=True)
class NewAdapter:
    """Everything that is known of a version when it is registered; `files` maps names to {"sha256", "bytes"}."""

    family: str
    sha256: str
    files: Mapping[str, Mapping[str, Any]]
    location: str
    base_model: str
    base_revision: str
    lora_rank: int
    target_modules: Sequence[str]
    dataset_version: str
    recipe: Mapping[str, Any]
    evaluation_id: str
    evaluation: Mapping[str, Any]
    training_run_id: str
    trained_by: str
    probes: Sequence[RecordedProbe]


def register(session: Session, new: NewAdapter, registered_by: str) -> Adapter:
    """The version of these files: the one registered before, or a new one with the next number of its family.

    Raises `Conflict` (adapter_registered_differently) if the same files are known as trained otherwise.
    """
    known = session.scalar(select(Adapter).where(Adapter.sha256 == new.sha256))
    if known is not None:
        return _same(session, known, new)
    last = session.scalar(select(func.max(Adapter.number)).where(Adapter.family == new.family))
    number = (last or 0) + 1
    described = {name: value for name, value in vars(new).items() if name != "probes"}
    described |= {"files": {name: dict(facts) for name, facts in new.files.items()}}
    described |= {"target_modules": list(new.target_modules), "recipe": dict(new.recipe)}
    described |= {"evaluation": dict(new.evaluation)}
    name = f"{new.family}-v{number}-{new.sha256[:DIGITS_OF_HASH]}"
    version = Adapter(**described, name=name, number=number, registered_by=registered_by)
    session.add(version)
    session.flush()
    session.add_all(
        AdapterProbe(adapter=name, number=place, **vars(probe)) for place, probe in enumerate(new.probes, start=1)
    )
    session.add(AdapterState(adapter=name, changed_by=registered_by))
    details = {"sha256": new.sha256, "training_run_id": new.training_run_id, "evaluation_id": new.evaluation_id}
    audit.record(session, registered_by, "adapter.registered", "adapter", name, details)
    return version


def adapter_named(session: Session, name: str) -> Adapter:
    """A version. Raises `NotFound` (adapter_not_found)."""
    found = session.get(Adapter, name)
    if found is None:
        raise NotFound("adapter_not_found", "no adapter of this name is registered; see `haechi adapters list`")
    return found


def all_adapters(session: Session) -> list[tuple[Adapter, AdapterState]]:
    """Every version with its state, the newest first."""
    rows = session.execute(
        select(Adapter, AdapterState)
        .join(AdapterState, AdapterState.adapter == Adapter.name)
        .order_by(Adapter.created_at.desc(), Adapter.number.desc())
    )
    return [(version, state) for version, state in rows]


def state_of(session: Session, name: str) -> AdapterState:
    return session.get_one(AdapterState, name)


def probes_of(session: Session, name: str) -> list[AdapterProbe]:
    """The probes of a version, in their order."""
    return list(session.scalars(select(AdapterProbe).where(AdapterProbe.adapter == name).order_by(AdapterProbe.number)))


def propose(session: Session, name: str, proposer: str) -> AdapterProposal:
    """Ask for a version to be promoted; asked again by the same person while nobody has approved, it is the same.

    Raises `NotFound` (adapter_not_found) and `Conflict` (adapter_rejected).
    """
    adapter_named(session, name)
    refuse_rejected(session, name)
    waiting = session.scalar(
        select(AdapterProposal)
        .outerjoin(AdapterApproval, AdapterApproval.proposal_id == AdapterProposal.id)
        .where(AdapterProposal.adapter == name, AdapterProposal.proposer == proposer, AdapterApproval.id.is_(None))
    )
    if waiting is not None:
        return waiting
    proposal = AdapterProposal(adapter=name, proposer=proposer)
    session.add(proposal)
    session.flush()
    audit.record(session, proposer, "adapter.proposed", "adapter", name, {"proposal_id": proposal.id})
    return proposal


def approve(session: Session, proposal_id: str, approver: str) -> AdapterApproval:
    """Agree to a proposal, as somebody who neither proposed nor trained nor registered the version.

    Raises `NotFound` (proposal_not_found), `NotPermitted` (approval_of_own_work) and `Conflict` (adapter_rejected,
    proposal_already_approved). The database refuses an approval of one's own even if this function did not.
    """
    proposal = session.get(AdapterProposal, proposal_id)
    if proposal is None:
        raise NotFound("proposal_not_found", "no such proposal; see `haechi adapters show`")
    version = adapter_named(session, proposal.adapter)
    refuse_rejected(session, version.name)
    if approver in (proposal.proposer, version.trained_by, version.registered_by):
        raise NotPermitted(
            "approval_of_own_work", "somebody else than who trained, registered or proposed it has to approve"
        )
    if session.scalar(select(AdapterApproval.id).where(AdapterApproval.proposal_id == proposal_id)) is not None:
        raise Conflict("proposal_already_approved", "this proposal is approved; promote the version")
    approval = AdapterApproval(
        proposal_id=proposal.id,
        adapter=version.name,
        proposer=proposal.proposer,
        trained_by=version.trained_by,
        registered_by=version.registered_by,
        approver=approver,
    )
    session.add(approval)
    session.flush()
    details = {"proposal_id": proposal.id, "approval_id": approval.id}
    audit.record(session, approver, "adapter.approved", "adapter", version.name, details)
    return approval


def proposals_of(session: Session, name: str) -> list[tuple[AdapterProposal, AdapterApproval | None]]:
    """The proposals of a version with their approvals, the newest first."""
    rows = session.execute(
        select(AdapterProposal, AdapterApproval)
        .outerjoin(AdapterApproval, AdapterApproval.proposal_id == AdapterProposal.id)
        .where(AdapterProposal.adapter == name)
        .order_by(AdapterProposal.created_at.desc())
    )
    return [(proposal, approval) for proposal, approval in rows]


def valid_approval(session: Session, name: str) -> AdapterApproval:
    """The newest approval that is not spent: a version that left service as active, or was rolled back, needs anew.

    Raises `Conflict` (adapter_not_approved).
    """
    left_service = session.scalar(
        select(func.max(AdapterPromotion.ended_at)).where(
            AdapterPromotion.adapter == name,
            (AdapterPromotion.state == "rolled_back")
            | ((AdapterPromotion.state == "replaced") & (AdapterPromotion.target == "active")),
        )
    )
    newest = session.scalar(
        select(AdapterApproval)
        .where(AdapterApproval.adapter == name)
        .order_by(AdapterApproval.created_at.desc())
        .limit(1)
    )
    if newest is None or (left_service is not None and newest.created_at <= left_service):
        raise Conflict("adapter_not_approved", "the version has no approval that is still good; propose it first")
    return newest


def refuse_rejected(session: Session, name: str) -> None:
    """Raises `Conflict` (adapter_rejected) for a version that may never serve again."""
    if state_of(session, name).state == "rejected":
        raise Conflict("adapter_rejected", "the version was rejected; train and register another one")


def set_state(session: Session, name: str, state: str, reason: str, by: str) -> None:
    """Move a version between candidate, rejected and retired. The caller writes the audit row."""
    row = state_of(session, name)
    row.state, row.reason, row.changed_by, row.changed_at = state, reason, by, now()
    session.flush()


def _same(session: Session, known: Adapter, new: NewAdapter) -> Adapter:
    told = (new.family, new.base_model, new.base_revision, new.dataset_version, new.training_run_id, new.trained_by)
    kept = (
        known.family,
        known.base_model,
        known.base_revision,
        known.dataset_version,
        known.training_run_id,
        known.trained_by,
    )
    if told != kept or [vars(probe) for probe in new.probes] != [
        {field: getattr(row, field) for field in RecordedProbe.__dataclass_fields__}
        for row in probes_of(session, known.name)
    ]:
        raise Conflict(
            "adapter_registered_differently", "these files are registered already, with another origin or other probes"
        )
    return known
