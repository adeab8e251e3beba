"""Every role against every route of learning; routes and roles are read from the application, so none is forgotten."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from llm_service.api import adapters, datasets, review, training
from llm_service.api.acting import PERMITTED, ROLES, Requires
from llm_service.learning_client import PERSON_HEADER, ROLES_HEADER

TOKEN = "test-service-token-of-more-than-32-characters"
ROUTERS = (review.router, datasets.router, training.router, adapters.router)
# Who may do what, written down a second time on purpose: a changed right is a decision, not a slip.
RIGHTS = {
    ("GET", "/v1/review/items"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/counts"): "reviewer approver trainer admin auditor",
    ("GET", "/v1/review/items/{item_id}"): "reviewer approver trainer admin auditor",
    ("POST", "/v1/review/next"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/propose"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/approve"): "approver",
    ("POST", "/v1/review/items/{item_id}/reject"): "reviewer approver",
    ("POST", "/v1/review/items/{item_id}/reopen"): "approver",
    ("POST", "/v1/review/drafts"): "reviewer trainer",
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
}
BODIES = {
    "/v1/review/next": {},
    "/v1/review/items/{item_id}/propose": {"version": 1, "question": "가", "answer": "나", "rubric": "wrong"},
    "/v1/review/items/{item_id}/approve": {"version": 1},
    "/v1/review/items/{item_id}/reject": {"version": 1, "reason": "not_useful"},
    "/v1/review/items/{item_id}/reopen": {"version": 1, "reason": "law_changed"},
    "/v1/review/drafts": {
        "drafts": [{"kind": "curated", "question": "가나", "answer": "다라", "group": "g", "licence": "bank"}]
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
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
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
