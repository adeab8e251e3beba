"""Reviewing over the console: four eyes, one conflict, words shown as words."""

import asyncio

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.store import review
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Feedback, Turn
from tests.admin.operating import asked
from tests.admin.platform import XSS, Platform, corrected, hostile


def decide(client: httpx.Client, login: str, item_id: str, decision: str, **form: str) -> httpx.Response:
    return client.post(f"/reviews/{item_id}/{decision}", data={"csrf": f"csrf-of-{login}", **form})


def test_a_correction_is_approved_by_two_people_who_did_not_make_it(platform: Platform) -> None:
    item_id = corrected(platform)
    with platform.logged_in("approver") as first, platform.logged_in("approver2") as second:
        shown = first.get(f"/reviews/{item_id}").text
        assert "<del>3천만원까지</del><ins>5천만원까지</ins>" in shown
        assert "첫 번째 승인" in shown
        assert decide(first, "approver", item_id, "approve", version="2").status_code == 303
        again = decide(first, "approver", item_id, "approve", version="3")
        assert (again.status_code, "approved_by_you_already" in again.text) == (403, True)
        assert "다른 사람이 승인합니다" in first.get(f"/reviews/{item_id}").text
        assert decide(second, "approver2", item_id, "approve", version="3").status_code == 303
    assert platform.item(item_id).state == "approved"


def test_nobody_approves_what_they_proposed(platform: Platform) -> None:
    (item_id,) = platform.add_items(1, "본인 제안")
    with platform.logged_in("approver") as client:
        form = {"version": "1", "question": "질문", "answer": "고친 답", "rubric": "wrong"}
        assert decide(client, "approver", item_id, "propose", **form).status_code == 303
        refused = decide(client, "approver", item_id, "approve", version="2")
    assert (refused.status_code, "own_proposal" in refused.text) == (403, True)


async def test_of_two_approvals_at_the_same_moment_one_is_a_conflict(platform: Platform) -> None:
    item_id = corrected(platform)
    tokens = {login: platform.token_of(login) for login in ("approver", "approver2")}

    async def approve(login: str) -> int:
        async with httpx.AsyncClient(
            base_url=platform.url,
            cookies={platform.settings.cookie_name: tokens[login]},
            headers={"Sec-Fetch-Site": "same-origin"},
            trust_env=False,
            timeout=60,
        ) as client:
            form = {"csrf": f"csrf-of-{login}", "version": "2"}
            return (await client.post(f"/reviews/{item_id}/approve", data=form)).status_code

    statuses = await asyncio.gather(approve("approver"), approve("approver2"))
    assert sorted(statuses) == [303, 409]


def test_two_reviewers_never_get_the_same_item(platform: Platform) -> None:
    platform.add_items(4, "둘이서")
    with platform.logged_in("reviewer") as one, platform.logged_in("approver") as other:
        places = [
            client.post("/reviews/next", data={"csrf": f"csrf-of-{login}"}).headers["location"].partition("?")[0]
            for client, login in ((one, "reviewer"), (other, "approver"))
        ]
    assert len(set(places)) == 2


def test_what_people_wrote_is_shown_as_text_wherever_it_is_shown(platform: Platform) -> None:
    item_id = hostile(platform)
    with platform.logged_in("approver") as client:
        client.post("/views", data={"csrf": "csrf-of-approver", "name": XSS[:64], "query": "state=proposed"})
        pages = [client.get(path).text for path in (f"/reviews/{item_id}", "/reviews?state=proposed")]
    for page in pages:
        assert "<img src=x" not in page
        assert "<script>alert" not in page
        assert "49" not in page.partition("{{ 7 * 7 }}")[0][-3:]
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_every_page_forbids_scripts_that_do_not_carry_its_own_nonce(platform: Platform) -> None:
    with platform.logged_in("approver") as client:
        policies = [client.get("/reviews").headers["content-security-policy"] for _ in range(2)]
    assert policies[0] != policies[1]
    for part in ("default-src 'none'", "'strict-dynamic'", "require-trusted-types-for 'script'", "trusted-types htmx"):
        assert part in policies[0]
    assert "unsafe" not in policies[0]


def test_a_body_over_the_limit_is_refused_unread(platform: Platform) -> None:
    with platform.logged_in("reviewer") as client:
        response = client.post("/reviews/next", content=b"x" * (platform.settings.console_maximum_body_bytes + 1))
    assert response.status_code == 413


def test_a_page_that_is_not_there_says_what_to_do(platform: Platform) -> None:
    with platform.logged_in("reviewer") as client:
        missing = client.get("/nowhere")
        unknown = client.get(f"/reviews/{'0' * 32}")
    assert (missing.status_code, "메뉴에서 다시 찾아" in missing.text) == (404, True)
    assert (unknown.status_code, "review_item_not_found" in unknown.text) == (404, True)


def test_a_search_goes_on_from_item_to_item(platform: Platform) -> None:
    made = platform.add_items(2, "같은 조건")
    queue = "kind=glossary&others=true"
    with platform.logged_in("approver") as approver:
        place = approver.post("/reviews/next", data={"csrf": "csrf-of-approver", "queue": queue}).headers["location"]
        assert "queue=kind%3Dglossary%26others%3Dtrue" in place
        assert f'name="queue" value="{queue.replace("&", "&amp;")}"' in approver.get(place).text
        done = decide(approver, "approver", made[0], "reject", version="1", reason="duplicate", queue=queue)
        assert "queue=kind%3Dglossary%26others%3Dtrue" in done.headers["location"]
        none = {"csrf": "csrf-of-approver", "queue": "kind=summary"}
        assert approver.post("/reviews/next", data=none).headers["location"].startswith("/reviews?kind=summary&notice=")
        assert decide(approver, "approver", made[1], "skip", queue="<script>").status_code == 422


def test_the_queue_is_narrowed_by_day_rubric_and_tag(platform: Platform) -> None:
    platform.add_items(1, "오늘 들어온")
    with platform.logged_in("auditor") as auditor:
        assert "오늘 들어온 0" in auditor.get("/reviews?kind=glossary&first_day=2020-01-01").text
        for query in ("first_day=2999-01-01", "last_day=2020-01-01", "rubric=dangerous", "tag=nothing_like_it"):
            assert "오늘 들어온 0" not in auditor.get(f"/reviews?kind=glossary&{query}").text
        assert auditor.get("/reviews?first_day=2020-13-01").status_code == 422


def test_the_second_approval_is_listed_for_others_only(platform: Platform) -> None:
    item_id = corrected(platform)
    with platform.logged_in("approver") as first, platform.logged_in("approver2") as second:
        assert decide(first, "approver", item_id, "approve", version="2").status_code == 303
        assert item_id not in first.get("/approvals").text
        assert item_id in second.get("/approvals").text
        form = {"csrf": "csrf-of-approver2", "queue": "state=first_approved&others=true"}
        assert second.post("/reviews/next", data=form).status_code == 303
        assert decide(second, "approver2", item_id, "approve", version="3").status_code == 303
        assert item_id not in second.get("/approvals").text
        shown = second.get(f"/reviews/{item_id}").text
    assert [shown.count(word) > 0 for word in ("두 번째 승인", "approver 님", "오늘")] == [True, True, True]


def test_the_base_answers_beside_the_versions_that_serve(platform: Platform) -> None:
    item_id = hostile(platform)
    with platform.logged_in("reviewer") as reviewer:
        shown = reviewer.post(f"/reviews/{item_id}/compare", data={"csrf": "csrf-of-reviewer"})
    assert (shown.status_code, "바탕 모델" in shown.text) == (200, True)
    assert "<img src=x" not in shown.text


def test_feedback_under_review_leads_to_its_whole_conversation(platform: Platform) -> None:
    conversation_id, turn_ids = asked(platform, "한도를 알려 주세요", verdict="down")

    def open_item(session: Session) -> str:
        feedback = session.scalars(select(Feedback).where(Feedback.turn_id == turn_ids[0])).one()
        return review.open_for_feedback(session, feedback, session.get_one(Turn, turn_ids[0])).id

    item_id = platform.work(open_item)
    with platform.logged_in("reviewer") as reviewer, platform.logged_in("trainer") as trainer:
        assert f'href="/conversations/{conversation_id}"' in reviewer.get(f"/reviews/{item_id}").text
        assert "/conversations/" not in trainer.get(f"/reviews/{item_id}").text


def test_a_skipped_item_comes_back_last_in_this_login_and_first_in_another(platform: Platform) -> None:
    made = platform.add_items(3, "나중에")
    platform.work(lambda session: _leave_only(session, set(made)))

    def place(response: httpx.Response) -> str:
        return response.headers["location"].partition("?")[0].removeprefix("/reviews/")

    with platform.logged_in("approver") as client, platform.logged_in("approver") as elsewhere:
        start = {"csrf": "csrf-of-approver"}
        assert place(client.post("/reviews/next", data=start)) == made[0]
        assert place(decide(client, "approver", made[0], "skip")) == made[1]
        assert place(decide(client, "approver", made[1], "approve", version="1")) == made[2]
        assert place(client.post("/reviews/next", data=start)) == made[2]
        assert place(decide(client, "approver", made[2], "approve", version="1")) == made[0]
        done = decide(client, "approver", made[0], "skip").headers["location"]
        assert done == "/reviews?notice=queue_done"
        assert place(client.post("/reviews/next", data=start)) == made[0]
        assert place(elsewhere.post("/reviews/next", data=start)) == made[0]


def _leave_only(session: Session, wanted: set[str]) -> None:
    for item in session.scalars(select(ReviewItem).where(ReviewItem.state.in_(review.OPEN_STATES))):
        item.leased_by, item.leased_until = None, None
        if item.id not in wanted:
            item.state, item.rejected_by, item.rejection_reason = "rejected", "test", "duplicate"
            item.first_approver, item.first_approved_at = None, None
