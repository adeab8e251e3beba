"""Who may do what: the one table of the console, from the name of a route to the roles that may use it.

A route that is missing here is closed to everybody. That nobody approves their own proposal, or promotes what they
trained, is not said here: the database refuses it.
"""

from collections.abc import Collection
from typing import Final

ROLES: Final = ("agent", "reviewer", "approver", "trainer", "admin", "auditor")
STRONG_ROLES: Final = frozenset({"approver", "trainer", "admin"})
"""Roles whose people must have logged in with a second factor where the provider says how they logged in."""

EVERYBODY: Final = frozenset(ROLES)
_READERS_OF_REVIEWS: Final = frozenset({"reviewer", "approver", "trainer", "admin", "auditor"})
_REVIEWERS: Final = frozenset({"reviewer", "approver"})
_READERS_OF_TRAINING: Final = frozenset({"trainer", "approver", "admin", "auditor"})
_READERS_OF_ADAPTERS: Final = frozenset({"reviewer", "approver", "trainer", "admin", "auditor"})
_READERS_OF_DOCUMENTS: Final = frozenset({"reviewer", "approver", "admin", "auditor"})

OPEN_ROUTES: Final = frozenset(
    {
        "login_form",
        "login",
        "choose_language",
        "choose_theme",
        "provider_login",
        "provider_return",
        "provider_logout",
        "logged_out",
        "live",
        "ready",
    }
)
"""Routes that nobody has to be logged in for."""

UNFINISHED_LOGIN_ROUTES: Final = frozenset(
    {"password_form", "password", "second_factor_form", "second_factor", "enrolment_form", "enrolment", "logout"}
)
"""Routes for whoever has given a password, whether or not the login is finished."""

ALLOWED: Final[dict[str, frozenset[str]]] = {
    "dashboard": EVERYBODY,
    "profile": EVERYBODY,
    # Reviewing: reviewers propose or reject; both approvals are approvers', of two different ones.
    "reviews": _READERS_OF_REVIEWS,
    "approvals": frozenset({"approver", "auditor"}),
    "review": _READERS_OF_REVIEWS,
    "compare_review": _REVIEWERS,
    "next_review": _REVIEWERS,
    "propose": _REVIEWERS,
    "approve": frozenset({"approver"}),
    "reject": _REVIEWERS,
    "skip": _REVIEWERS,
    "reopen": frozenset({"approver"}),
    "save_view": _READERS_OF_REVIEWS,
    "delete_view": _READERS_OF_REVIEWS,
    # Conversations are masked; every reading is audited.
    "conversations": frozenset({"agent", "reviewer", "approver", "auditor"}),
    "search_conversations": frozenset({"agent", "reviewer", "approver", "auditor"}),
    "conversation": frozenset({"agent", "reviewer", "approver", "auditor"}),
    "turn": frozenset({"agent", "reviewer", "approver", "auditor"}),
    # Hand-offs: agents talk, auditors read.
    "handoffs": frozenset({"agent", "auditor"}),
    "handoff": frozenset({"agent", "auditor"}),
    "take_handoff": frozenset({"agent"}),
    "release_handoff": frozenset({"agent"}),
    "reply_handoff": frozenset({"agent"}),
    "close_handoff": frozenset({"agent"}),
    # Documents.
    "documents": _READERS_OF_DOCUMENTS,
    "document": _READERS_OF_DOCUMENTS,
    "upload_document": frozenset({"admin"}),
    "release_document": frozenset({"approver"}),
    "withdraw_document": frozenset({"admin"}),
    # Examples in files: handed out by those who answer for them, taken in as drafts that others approve.
    "curated": _READERS_OF_REVIEWS,
    "export_examples": frozenset({"approver", "trainer", "auditor"}),
    "preview_import": frozenset({"reviewer", "trainer"}),
    "import_examples": frozenset({"reviewer", "trainer"}),
    # Training.
    "datasets": _READERS_OF_TRAINING,
    "dataset": _READERS_OF_TRAINING,
    "request_dataset": frozenset({"trainer"}),
    "runs": _READERS_OF_TRAINING,
    "run": _READERS_OF_TRAINING,
    "run_events": _READERS_OF_TRAINING,
    "request_run": frozenset({"trainer"}),
    "cancel_run": frozenset({"trainer", "admin"}),
    # Evaluations show whose answer is whose, so reviewers, who judge blind, do not see them.
    "evaluations": _READERS_OF_TRAINING,
    "evaluation": _READERS_OF_TRAINING,
    "request_evaluation": frozenset({"trainer"}),
    "blind": _READERS_OF_ADAPTERS,
    "blind_comparison": _READERS_OF_ADAPTERS,
    "request_blind": frozenset({"trainer", "approver"}),
    "blind_pair": _REVIEWERS,
    "vote_blind": _REVIEWERS,
    "close_blind": frozenset({"trainer", "approver"}),
    # Adapters: trainers propose, approvers approve and promote, admins too may take one out.
    "adapters": _READERS_OF_ADAPTERS,
    "adapter": _READERS_OF_ADAPTERS,
    "propose_adapter": frozenset({"trainer"}),
    "approve_adapter": frozenset({"approver"}),
    "promote_adapter": frozenset({"approver"}),
    "set_canary_share": frozenset({"approver"}),
    "roll_back_adapter": frozenset({"trainer", "approver", "admin"}),
    # Audit.
    "audit": frozenset({"auditor", "admin"}),
    "verify_audit": frozenset({"auditor", "admin"}),
    "export_audit": frozenset({"auditor"}),
    # Running the platform: whoever sees harm may stop the answers, admins begin again.
    "platform": frozenset({"approver", "admin", "auditor"}),
    "switch_answers_off": frozenset({"approver", "admin"}),
    "switch_answers_on": frozenset({"admin"}),
    "set_control": frozenset({"admin"}),
    # People.
    "accounts": frozenset({"admin", "auditor"}),
    "add_account": frozenset({"admin"}),
    "set_roles": frozenset({"admin"}),
    "set_active": frozenset({"admin"}),
    "reset_password": frozenset({"admin"}),
    "reset_second_factor": frozenset({"admin"}),
    "unlock_account": frozenset({"admin"}),
    "access": frozenset({"auditor", "admin"}),
    "keep_access": frozenset({"auditor", "admin"}),
    "close_access": frozenset({"admin"}),
    "tokens": frozenset({"admin", "auditor"}),
    "add_token": frozenset({"admin", "auditor"}),
    "revoke_token": frozenset({"admin", "auditor"}),
}
"""The roles of every other route; one of them is enough."""


SCOPES: Final[dict[str, frozenset[str]]] = {
    "overview": frozenset({"dashboard"}),
    "reviews": frozenset({"reviews", "approvals", "review"}),
    "conversations": frozenset({"conversations", "conversation", "turn"}),
    "documents": frozenset({"documents", "document"}),
    "training": frozenset({"datasets", "dataset", "runs", "run", "run_events"}),
    "adapters": frozenset({"adapters", "adapter"}),
    "audit": frozenset({"audit", "export_audit"}),
    "people": frozenset({"accounts", "access", "tokens"}),
    "platform": frozenset({"platform"}),
}
"""What an API token may be narrowed to, by the routes it then reads; what is missing here is closed to those."""


def may(roles: Collection[str], route_name: str, scopes: Collection[str] = ()) -> bool:
    """Whether somebody with these roles may use a route that needs a finished login, within the scopes if any."""
    if scopes and not any(route_name in SCOPES.get(scope, ()) for scope in scopes):
        return False
    return not ALLOWED.get(route_name, frozenset()).isdisjoint(roles)


def is_named(route_name: str) -> bool:
    """Whether the table says anything about a route."""
    return route_name in ALLOWED or route_name in OPEN_ROUTES or route_name in UNFINISHED_LOGIN_ROUTES
