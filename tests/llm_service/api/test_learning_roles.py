"""Every role against every route of learning; routes and roles are read from the application, so none is forgotten."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from llm_service.api import (
    adapters,
    datasets,
    documents,
    evaluations,
    examples,
    handoffs,
    operations,
    review,
    revisions,
    training,
    turns,
)
from llm_service.api.acting import PERMITTED, ROLES, Requires, RequiresOfPeople
from llm_service.client import PERSON_HEADER, ROLES_HEADER

TOKEN = "test-service-token-of-more-than-32-characters"
ROUTERS = (
    review.router,
    examples.router,
    datasets.router,
    training.router,
    evaluations.router,
    adapters.router,
    operations.router,
)
# Commands and channels call these too, and name nobody: some of their routes ask for a right where a person is named.
ROUTERS_OF_SERVICES_TOO = (documents.router, revisions.router, turns.router, handoffs.router)
# Who may do what, written down a second time on purpose: a changed right is a decision, not a slip.
RIGHTS = {
    ("GET", "/v1/review/items"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/queue"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/counts"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/items/{item_id}"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/progress"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/review/next"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/compare"): "reviewer approver",
    ("GET", "/v1/controls"): "approver admin auditor",
    ("POST", "/v1/controls/answers/off"): "approver admin",
    ("POST", "/v1/controls/answers/on"): "admin",
    ("POST", "/v1/controls/{name}"): "admin",
    ("GET", "/v1/statistics"): "agent reviewer approver trainer admin auditor",
    ("POST", "/v1/conversations/search"): "agent reviewer approver auditor",
    ("GET", "/v1/conversations/{conversation_id}"): "agent reviewer approver auditor",
    ("POST", "/v1/review/items/{item_id}/propose"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/approve"): "approver",
    ("POST", "/v1/review/items/{item_id}/reject"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/reopen"): "approver",
    ("POST", "/v1/review/drafts"): "reviewer trainer",
    ("GET", "/v1/examples/approved"): "approver trainer auditor",
    ("POST", "/v1/examples/preview"): "reviewer trainer",
    ("POST", "/v1/examples/import"): "reviewer trainer",
    ("POST", "/v1/datasets"): "trainer",
    ("GET", "/v1/datasets"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/datasets/{name}"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/datasets/{name}/difference/{against}"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/training/runs"): "trainer",
    ("GET", "/v1/training/runs"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/training/runs/{run_id}"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/training/runs/{run_id}/points"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/training/runs/{run_id}/log"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/training/runs/{run_id}/cancel"): "trainer admin",
    ("GET", "/v1/evaluations"): "approver trainer admin auditor",
    ("POST", "/v1/evaluations"): "trainer",
    ("GET", "/v1/evaluations/{evaluation_id}"): "approver trainer admin auditor",
    ("GET", "/v1/evaluations/{evaluation_id}/items"): "approver trainer admin auditor",
    ("GET", "/v1/blind"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/blind"): "approver trainer",
    ("GET", "/v1/blind/{comparison_id}"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/blind/{comparison_id}/result"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/blind/{comparison_id}/next"): "reviewer approver",
    ("POST", "/v1/blind/{comparison_id}/votes"): "reviewer approver",
    ("POST", "/v1/blind/{comparison_id}/close"): "approver trainer",
    ("GET", "/v1/adapters"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/adapters/status"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/adapters/{name}"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/adapters"): "trainer",
    ("POST", "/v1/adapters/{name}/propose"): "reviewer approver trainer",
    ("POST", "/v1/adapters/{name}/approve"): "approver",
    ("POST", "/v1/adapters/{name}/promote"): "approver admin",
    ("POST", "/v1/adapters/{name}/reject"): "approver",
    ("POST", "/v1/adapters/canary-share"): "approver admin",
    ("POST", "/v1/adapters/rollback"): "trainer approver admin",
    ("POST", "/v1/documents"): "admin",
    ("POST", "/v1/documents/{document_id}/release"): "approver",
    ("DELETE", "/v1/documents/{document_id}"): "admin",
    ("POST", "/v1/documents/{document_id}/retest"): "reviewer approver admin",
    ("GET", "/v1/turns/{turn_id}/explanation"): "agent reviewer approver auditor",
    ("GET", "/v1/handoffs"): "agent auditor",
    ("GET", "/v1/handoffs/office"): "agent auditor",
    ("GET", "/v1/handoffs/{handoff_id}"): "agent auditor",
    ("POST", "/v1/handoffs/{handoff_id}/take"): "agent",
    ("POST", "/v1/handoffs/{handoff_id}/release"): "agent",
    ("POST", "/v1/handoffs/{handoff_id}/reply"): "agent",
    ("POST", "/v1/handoffs/{handoff_id}/close"): "agent",
}
BODIES = {
    "/v1/review/next": {},
    "/v1/review/items/{item_id}/compare": {"adapters": [None]},
    "/v1/controls/answers/off": {"reason": "drill"},
    "/v1/controls/answers/on": {"reason": "resolved"},
    "/v1/controls/{name}": {"value": 1, "reason": "policy", "version": 0},
    "/v1/conversations/search": {"sought": {}},
    "/v1/review/items/{item_id}/propose": {"version": 1, "question": "가", "answer": "나", "rubric": "wrong"},
    "/v1/review/items/{item_id}/approve": {"version": 1},
    "/v1/review/items/{item_id}/reject": {"version": 1, "reason": "not_useful"},
    "/v1/review/items/{item_id}/reopen": {"version": 1, "reason": "law_changed"},
    "/v1/review/drafts": {
        "drafts": [{"kind": "curated", "question": "가나", "answer": "다라", "group": "g", "licence": "bank"}]
    },
    "/v1/evaluations": {"adapter": "none"},
    "/v1/blind": {"evaluation_id": "0" * 32, "first": "base", "second": "candidate"},
    "/v1/blind/{comparison_id}/votes": {"item_id": "x", "vote": "tie"},
    "/v1/examples/import": {
        "name": "a.jsonl",
        "kind": "curated",
        "licence": "bank",
        "rows": [{"number": 1, "question": "가나", "answer": "다라"}],
    },
    "/v1/adapters": dict.fromkeys(
        ("directory", "family", "base_model", "base_revision", "dataset_version", "training_run_id", "trained_by"), "x"
    ),
    "/v1/adapters/{name}/approve": {"proposal_id": "0" * 32},
    "/v1/adapters/{name}/reject": {"reason": "worse"},
    "/v1/adapters/canary-share": {"share": 0.5},
    "/v1/training/runs": {"dataset": "none", "recipe": "none", "base": "none"},
}


def routes() -> Iterator[tuple[str, APIRoute]]:
    for router in (*ROUTERS, *ROUTERS_OF_SERVICES_TOO):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if router in ROUTERS or required(route.dependant):
                yield from ((method, route) for method in sorted(route.methods))


def required(dependant: Dependant) -> list[Requires]:
    here = [dependant.call] if isinstance(dependant.call, Requires) else []
    return [*here, *(found for inner in dependant.dependencies for found in required(inner))]


@pytest.fixture
async def http(service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def test_every_route_asks_for_one_permission_and_the_table_of_rights_knows_it() -> None:
    found = {(method, route.path): required(route.dependant) for method, route in routes()}
    assert all(len(asked) == 1 for asked in found.values())
    assert found.keys() == RIGHTS.keys()
    assert {asked[0].permission for asked in found.values()} == PERMITTED.keys()


async def test_where_nobody_is_named_services_get_on_and_half_a_name_does_not(http: httpx.AsyncClient) -> None:
    for method, route in routes():
        if not isinstance(required(route.dependant)[0], RequiresOfPeople):
            continue
        path = route.path.replace("{document_id}", "0").replace("{turn_id}", "0" * 32)
        codes = [
            (await http.request(method, path, headers=headers)).json()["error"]["code"]
            for headers in ({}, {PERSON_HEADER: "kim"}, {ROLES_HEADER: "agent"})
        ]
        assert codes[0] in ("invalid_request", "document_not_found", "turn_not_found"), path
        assert codes[1:] == ["role_missing", "role_missing"], path


async def test_every_role_is_let_through_where_it_has_the_right_and_nowhere_else(http: httpx.AsyncClient) -> None:
    for method, route in routes():
        for role in ROLES:
            path = route.path.replace("{", "0").replace("}", "0")
            body = BODIES.get(route.path, {}) if method == "POST" else None
            reply = await http.request(method, path, json=body, headers={PERSON_HEADER: "kim", ROLES_HEADER: role})
            was_refused = reply.status_code == 403 and reply.json()["error"]["code"] == "role_missing"
            assert was_refused == (role not in RIGHTS[method, route.path].split()), (method, route.path, role)
            assert reply.status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {PERSON_HEADER: "kim"},
        {ROLES_HEADER: "approver"},
        {PERSON_HEADER: "", ROLES_HEADER: "approver"},
        {PERSON_HEADER: "k" * 129, ROLES_HEADER: "approver"},
        {PERSON_HEADER: "kim", ROLES_HEADER: "root"},
        {PERSON_HEADER: "kim", ROLES_HEADER: "approver,"},
        {PERSON_HEADER: "kim", ROLES_HEADER: "approver,approver,approver,approver,approver,approver,approver"},
    ],
    ids=str,
)
async def test_nobody_acts_without_a_name_and_known_roles(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    reply = await http.get("/v1/review/items", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_request")
