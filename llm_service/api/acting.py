"""Who acts, and what their roles let them do: the one readable table of rights over learning, adapters and documents.

The console signs people in and names the person and their roles in two headers, beside the service token; nobody
without the token can. Here a person becomes a keyed hash at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header

from llm_service.answering.parts import Parts
from llm_service.api.dependencies import ServiceParts
from llm_service.client import PERSON_HEADER, ROLES_HEADER
from llm_service.errors import NotPermitted

CHANNEL: Final = "console"
PERSON_PATTERN: Final = r"^[\x21-\x7e]{1,128}$"
ROLES: Final = ("agent", "reviewer", "approver", "trainer", "admin", "auditor")
ROLES_PATTERN: Final = rf"^({'|'.join(ROLES)})(,({'|'.join(ROLES)})){{0,{len(ROLES) - 1}}}$"

READERS: Final = frozenset({"reviewer", "approver", "trainer", "admin", "auditor"})
PERMITTED: Final[Mapping[str, frozenset[str]]] = {
    "review.read": READERS,
    "review.draft": frozenset({"reviewer", "trainer"}),
    "review.propose": frozenset({"reviewer", "approver"}),
    "review.approve": frozenset({"approver"}),
    "review.reject": frozenset({"reviewer", "approver"}),
    "review.reopen": frozenset({"approver"}),
    "examples.export": frozenset({"approver", "trainer", "auditor"}),
    "dataset.read": READERS,
    "dataset.request": frozenset({"trainer"}),
    "training.read": READERS,
    "training.request": frozenset({"trainer"}),
    "training.cancel": frozenset({"trainer", "admin"}),
    "evaluation.read": frozenset({"approver", "trainer", "admin", "auditor"}),
    "evaluation.request": frozenset({"trainer"}),
    "blind.read": READERS,
    "blind.request": frozenset({"trainer", "approver"}),
    "blind.vote": frozenset({"reviewer", "approver"}),
    "blind.close": frozenset({"trainer", "approver"}),
    "adapter.read": READERS,
    "adapter.register": frozenset({"trainer"}),
    "adapter.propose": frozenset({"trainer", "reviewer", "approver"}),
    "adapter.approve": frozenset({"approver"}),
    "adapter.promote": frozenset({"approver", "admin"}),
    "adapter.roll_back": frozenset({"trainer", "approver", "admin"}),
    "document.take_in": frozenset({"admin"}),
    "document.release": frozenset({"approver"}),
    "document.withdraw": frozenset({"admin"}),
    "document.retest": frozenset({"reviewer", "approver", "admin"}),
    "conversation.read": frozenset({"agent", "reviewer", "approver", "auditor"}),
    "handoff.read": frozenset({"agent", "auditor"}),
    "handoff.take": frozenset({"agent"}),
    "conversation.look_up": frozenset({"agent", "reviewer", "approver", "auditor"}),
    "review.compare": frozenset({"reviewer", "approver"}),
    "control.read": frozenset({"approver", "admin", "auditor"}),
    "control.change": frozenset({"admin"}),
    # Whoever sees harm may stop it; to begin again is one role's decision.
    "answers.switch_off": frozenset({"approver", "admin"}),
    "answers.switch_on": frozenset({"admin"}),
    "statistics.read": frozenset(ROLES),
}
"""What each role may do. That the people of one example differ is the database's rule, not this table's."""


@dataclass(frozen=True)
class ActingPerson:
    """Who acts: the keyed hash of their id, and their roles."""

    key: str
    roles: frozenset[str]


SERVICE: Final = ActingPerson("service", frozenset())
"""Who acts where nobody is named: a command or a schedule, with the service token alone."""


class Requires:
    """Lets a person through who has a role for the permission. Raises `NotPermitted` (role_missing)."""

    def __init__(self, permission: str) -> None:
        self.permission = permission
        self.roles = PERMITTED[permission]

    # A coroutine although it waits for nothing: FastAPI calls plain functions on another thread.
    async def __call__(
        self,
        parts: ServiceParts,
        person: Annotated[str, Header(alias=PERSON_HEADER, pattern=PERSON_PATTERN)],
        roles: Annotated[str, Header(alias=ROLES_HEADER, pattern=ROLES_PATTERN)],
    ) -> ActingPerson:
        return self._acting(parts, person, roles)

    def _acting(self, parts: Parts, person: str, roles: str) -> ActingPerson:
        held = frozenset(roles.split(","))
        if not held & self.roles:
            raise NotPermitted("role_missing", f"{self.permission} needs one of: {', '.join(sorted(self.roles))}")
        return ActingPerson(parts.identities.user_key(CHANNEL, person), held)


class RequiresOfPeople(Requires):
    """The same for a named person, and `SERVICE` where none is: commands call these routes too."""

    async def __call__(
        self,
        parts: ServiceParts,
        person: Annotated[str | None, Header(alias=PERSON_HEADER, pattern=PERSON_PATTERN)] = None,
        roles: Annotated[str | None, Header(alias=ROLES_HEADER, pattern=ROLES_PATTERN)] = None,
    ) -> ActingPerson:
        if person is None and roles is None:
            return SERVICE
        if person is None or roles is None:
            raise NotPermitted("role_missing", "a person is named together with their roles")
        return self._acting(parts, person, roles)


MayReadReview = Annotated[ActingPerson, Depends(Requires("review.read"))]
MayDraft = Annotated[ActingPerson, Depends(Requires("review.draft"))]
MayPropose = Annotated[ActingPerson, Depends(Requires("review.propose"))]
MayApprove = Annotated[ActingPerson, Depends(Requires("review.approve"))]
MayReject = Annotated[ActingPerson, Depends(Requires("review.reject"))]
MayReopen = Annotated[ActingPerson, Depends(Requires("review.reopen"))]
MayExportExamples = Annotated[ActingPerson, Depends(Requires("examples.export"))]
MayReadDatasets = Annotated[ActingPerson, Depends(Requires("dataset.read"))]
MayBuildDatasets = Annotated[ActingPerson, Depends(Requires("dataset.request"))]
MayReadTraining = Annotated[ActingPerson, Depends(Requires("training.read"))]
MayTrain = Annotated[ActingPerson, Depends(Requires("training.request"))]
MayCancelTraining = Annotated[ActingPerson, Depends(Requires("training.cancel"))]
MayReadEvaluations = Annotated[ActingPerson, Depends(Requires("evaluation.read"))]
MayRequestEvaluations = Annotated[ActingPerson, Depends(Requires("evaluation.request"))]
MayReadBlind = Annotated[ActingPerson, Depends(Requires("blind.read"))]
MayRequestBlind = Annotated[ActingPerson, Depends(Requires("blind.request"))]
MayVote = Annotated[ActingPerson, Depends(Requires("blind.vote"))]
MayCloseBlind = Annotated[ActingPerson, Depends(Requires("blind.close"))]
MayReadAdapters = Annotated[ActingPerson, Depends(Requires("adapter.read"))]
MayRegisterAdapters = Annotated[ActingPerson, Depends(Requires("adapter.register"))]
MayProposeAdapters = Annotated[ActingPerson, Depends(Requires("adapter.propose"))]
MayApproveAdapters = Annotated[ActingPerson, Depends(Requires("adapter.approve"))]
MayPromoteAdapters = Annotated[ActingPerson, Depends(Requires("adapter.promote"))]
MayRollBackAdapters = Annotated[ActingPerson, Depends(Requires("adapter.roll_back"))]
MayTakeIn = Annotated[ActingPerson, Depends(RequiresOfPeople("document.take_in"))]
MayRelease = Annotated[ActingPerson, Depends(RequiresOfPeople("document.release"))]
MayWithdraw = Annotated[ActingPerson, Depends(RequiresOfPeople("document.withdraw"))]
MayRetest = Annotated[ActingPerson, Depends(RequiresOfPeople("document.retest"))]
MayReadConversations = Annotated[ActingPerson, Depends(RequiresOfPeople("conversation.read"))]
MayLookUpConversations = Annotated[ActingPerson, Depends(Requires("conversation.look_up"))]
MayCompare = Annotated[ActingPerson, Depends(Requires("review.compare"))]
MayReadControls = Annotated[ActingPerson, Depends(Requires("control.read"))]
MayChangeControls = Annotated[ActingPerson, Depends(Requires("control.change"))]
MaySwitchAnswersOff = Annotated[ActingPerson, Depends(Requires("answers.switch_off"))]
MaySwitchAnswersOn = Annotated[ActingPerson, Depends(Requires("answers.switch_on"))]
MayReadStatistics = Annotated[ActingPerson, Depends(Requires("statistics.read"))]
MayReadHandoffs = Annotated[ActingPerson, Depends(Requires("handoff.read"))]
MayTakeHandoffs = Annotated[ActingPerson, Depends(Requires("handoff.take"))]
