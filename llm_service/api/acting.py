"""Who acts, and what their roles let them do: the one readable table of rights over learning and adapters.

The console signs people in and names the person and their roles in two headers, beside the service token; nobody
without the token can. Here a person becomes a keyed hash at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header

from llm_service.api.dependencies import ServiceParts
from llm_service.errors import NotPermitted
from llm_service.learning_client import PERSON_HEADER, ROLES_HEADER

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
    "dataset.read": READERS,
    "dataset.request": frozenset({"trainer"}),
    "training.read": READERS,
    "training.request": frozenset({"trainer"}),
    "training.cancel": frozenset({"trainer", "admin"}),
    "adapter.read": READERS,
    "adapter.register": frozenset({"trainer"}),
    "adapter.propose": frozenset({"trainer", "reviewer", "approver"}),
    "adapter.approve": frozenset({"approver"}),
    "adapter.promote": frozenset({"approver", "admin"}),
    "adapter.roll_back": frozenset({"trainer", "approver", "admin"}),
}
"""What each role may do. That the people of one example differ is the database's rule, not this table's."""


@dataclass(frozen=True)
class ActingPerson:
    """Who acts: the keyed hash of their id, and their roles."""

    key: str
    roles: frozenset[str]


class Requires:
    """Lets a person through who has a role for the permission. Raises `NotPermitted` (role_missing)."""

    def __init__(self, permission: str) -> None:
        self.permission = permission
        self.roles = PERMITTED[permission]

    def __call__(
        self,
        parts: ServiceParts,
        person: Annotated[str, Header(alias=PERSON_HEADER, pattern=PERSON_PATTERN)],
        roles: Annotated[str, Header(alias=ROLES_HEADER, pattern=ROLES_PATTERN)],
    ) -> ActingPerson:
        held = frozenset(roles.split(","))
        if not held & self.roles:
            raise NotPermitted("role_missing", f"{self.permission} needs one of: {', '.join(sorted(self.roles))}")
        return ActingPerson(parts.identities.user_key(CHANNEL, person), held)


MayReadReview = Annotated[ActingPerson, Depends(Requires("review.read"))]
MayDraft = Annotated[ActingPerson, Depends(Requires("review.draft"))]
MayPropose = Annotated[ActingPerson, Depends(Requires("review.propose"))]
MayApprove = Annotated[ActingPerson, Depends(Requires("review.approve"))]
MayReject = Annotated[ActingPerson, Depends(Requires("review.reject"))]
MayReopen = Annotated[ActingPerson, Depends(Requires("review.reopen"))]
MayReadDatasets = Annotated[ActingPerson, Depends(Requires("dataset.read"))]
MayBuildDatasets = Annotated[ActingPerson, Depends(Requires("dataset.request"))]
MayReadTraining = Annotated[ActingPerson, Depends(Requires("training.read"))]
MayTrain = Annotated[ActingPerson, Depends(Requires("training.request"))]
MayCancelTraining = Annotated[ActingPerson, Depends(Requires("training.cancel"))]
MayReadAdapters = Annotated[ActingPerson, Depends(Requires("adapter.read"))]
MayRegisterAdapters = Annotated[ActingPerson, Depends(Requires("adapter.register"))]
MayProposeAdapters = Annotated[ActingPerson, Depends(Requires("adapter.propose"))]
MayApproveAdapters = Annotated[ActingPerson, Depends(Requires("adapter.approve"))]
MayPromoteAdapters = Annotated[ActingPerson, Depends(Requires("adapter.promote"))]
MayRollBackAdapters = Annotated[ActingPerson, Depends(Requires("adapter.roll_back"))]
