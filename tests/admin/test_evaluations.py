"""Evaluations question by question, and blind comparisons: nobody is told whose answer is whose before the vote."""

from functools import partial
from html import unescape

import httpx
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store import audit, blind
from llm_service.store.evaluation_models import BlindPair, BlindVote
from llm_service.store.evaluations import ItemResult, SubjectResult
from tests.admin.learning import evaluated, results
from tests.admin.platform import XSS, Platform

HOSTILE = [
    ItemResult(
        XSS,
        "answer",
        (XSS,),
        MaskedText(XSS),
        MaskedText(XSS),
        {
            "base": SubjectResult(MaskedText(XSS), {XSS: 0.1}, 0.1),
            "candidate": SubjectResult(MaskedText(XSS + " 다른 답"), {XSS: 0.2}, 0.2),
        },
    )
]


def requested(platform: Platform, evaluation_id: str) -> str:
    """A blind comparison of base and candidate."""
    form = {"csrf": "csrf-of-trainer", "evaluation_id": evaluation_id, "first": "base", "second": "candidate"}
    with platform.logged_in("trainer") as trainer:
        place = trainer.post("/blind", data=form).headers["location"]
    return str(place).removeprefix("/blind/").partition("?")[0]


def vote(client: httpx.Client, login: str, comparison_id: str, given: str, item_id: str = "") -> httpx.Response:
    shown = client.get(f"/blind/{comparison_id}/vote").text
    item = item_id or unescape(shown.partition('name="item_id" value="')[2].partition('"')[0])
    form = {"csrf": f"csrf-of-{login}", "item_id": item, "vote": given}
    return client.post(f"/blind/{comparison_id}/vote", data=form)


def test_the_verdict_of_the_gate_stands_beside_its_rules_and_measures(platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    with platform.logged_in("auditor") as auditor:
        shown = auditor.get(f"/evaluations/{evaluation_id}").text
        listed = auditor.get("/evaluations").text
    for said in (
        "탈락",
        "분류별 하락",
        "-0.350",
        "미충족",
        "비교 기준: 서비스 중",
        "[0.300, 1.000]",
        "분류별 최대 하락",
    ):
        assert said in shown
    assert f"/evaluations/{evaluation_id}" in listed


def test_only_what_got_worse_is_shown_where_that_is_asked_for(platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    with platform.logged_in("trainer") as trainer:
        everything = trainer.get(f"/evaluations/{evaluation_id}?of=candidate&against=active").text
        worse = trainer.get(f"/evaluations/{evaluation_id}?of=candidate&against=active&worse=true").text
    assert "나빠짐 1" in everything
    assert "카드를 잃어버리면" in everything
    assert "중도상환수수료는" in worse
    assert "-0.700" in worse
    assert "카드를 잃어버리면" not in worse


def test_a_run_and_its_dataset_lead_to_the_evaluation(platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    with platform.logged_in("trainer") as trainer:
        shown = trainer.get(f"/evaluations/{evaluation_id}").text
        run = shown.partition('href="/runs/')[2][:32]
        dataset = shown.partition('href="/datasets/')[2].partition('"')[0]
        assert f"/evaluations/{evaluation_id}" in trainer.get(f"/runs/{run}").text
        assert f"/evaluations?dataset={dataset}" in trainer.get(f"/datasets/{dataset}").text
        assert f"/evaluations/{evaluation_id}" in trainer.get(f"/evaluations?dataset={dataset}").text


def test_reading_the_questions_of_an_evaluation_is_audited(platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    with platform.logged_in("auditor") as auditor:
        auditor.get(f"/evaluations/{evaluation_id}")
    (row,) = platform.work(lambda session: audit.events(session, "evaluation.read", None, 1))
    assert (row.subject_id, row.details) == (evaluation_id, {"questions": 5, "offset": 0})


def test_sides_are_by_chance_and_what_is_shown_names_nobody(platform: Platform) -> None:
    comparison_id = requested(platform, evaluated(platform))
    pairs = platform.work(lambda session: session.query(BlindPair).filter_by(comparison_id=comparison_id).all())
    assert len(pairs) == 4, "the probe for leaks has no answers to judge"
    with platform.logged_in("reviewer") as reviewer:
        shown = reviewer.get(f"/blind/{comparison_id}/vote").text.partition("<main")[2]
    assert "왼쪽 답" in shown
    for telling in ("base", "candidate", "기본 모델", "후보", "어댑터"):
        assert telling not in shown


def test_many_sides_fall_both_ways(platform: Platform) -> None:
    questions = [(f"질문 {n}", f"가 {n}", f"나 {n}", f"다 {n}", (0.1, 0.2, 0.3)) for n in range(40)]
    comparison_id = requested(platform, evaluated(platform, results(questions)))
    pairs = platform.work(lambda session: session.query(BlindPair).filter_by(comparison_id=comparison_id).all())
    sides = {pair.first_stands for pair in pairs}
    # By chance alone all forty would fall on one side once in 2**39 times.
    assert sides == {"left", "right"}
    assert [pair.item_id for pair in sorted(pairs, key=lambda pair: pair.position)] != [f"q{n}" for n in range(40)]


def test_who_may_still_vote_is_not_told_by_the_evaluation_what_is_whose(platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    comparison_id = requested(platform, evaluation_id)
    with platform.logged_in("approver") as approver, platform.logged_in("auditor") as auditor:
        hidden = approver.get(f"/evaluations/{evaluation_id}").text
        assert "가려짐 4" in hidden
        assert "5천만원입니다" not in hidden
        assert "5천만원입니다" in auditor.get(f"/evaluations/{evaluation_id}?against=base").text
        for _ in range(4):
            assert vote(approver, "approver", comparison_id, "tie").status_code == 303
        assert "가려짐" not in approver.get(f"/evaluations/{evaluation_id}").text


def test_a_vote_is_given_once_and_counted_only_when_all_is_over(platform: Platform) -> None:
    comparison_id = requested(platform, evaluated(platform))
    with platform.logged_in("reviewer") as reviewer, platform.logged_in("trainer") as trainer:
        for _ in range(4):
            shown = reviewer.get(f"/blind/{comparison_id}/vote").text
            item_id = shown.partition('name="item_id" value="')[2].partition('"')[0]
            stands = platform.work(partial(Session.get_one, entity=BlindPair, ident=(comparison_id, item_id)))
            side = "right" if stands.first_stands == "left" else "left"
            assert vote(reviewer, "reviewer", comparison_id, side).status_code == 303
        assert "모두 판정했습니다" in reviewer.get(f"/blind/{comparison_id}/vote").text
        again = vote(reviewer, "reviewer", comparison_id, "tie", "q0")
        assert (again.status_code, "voted_already" in again.text) == (409, True)
        assert "부호 검정" not in trainer.get(f"/blind/{comparison_id}").text
        assert trainer.post(f"/blind/{comparison_id}/close", data={"csrf": "csrf-of-trainer"}).status_code == 303
        result = reviewer.get(f"/blind/{comparison_id}").text
        late = vote(reviewer, "reviewer", comparison_id, "tie", "q0")
    assert (late.status_code, "blind_comparison_closed" in late.text) == (409, True)
    assert "0.1250" in result, "four of four for the candidate: 2 / 2**4"
    assert "후보 우세 질문" in result
    votes = platform.work(lambda session: session.query(BlindVote).filter_by(comparison_id=comparison_id).all())
    assert len(votes) == 4
    rows = platform.work(lambda session: audit.events(session, "blind.voted", None, 4))
    assert {row.subject_id for row in rows} == {comparison_id}
    assert {row.actor for row in rows} == {vote.voter for vote in votes}


def test_whoever_trained_judges_nothing(platform: Platform) -> None:
    platform.add_account("both", ["trainer", "reviewer"])
    comparison_id = requested(platform, evaluated(platform, trained_by="both"))
    with platform.logged_in("both") as both:
        refused = both.get(f"/blind/{comparison_id}/vote")
    assert (refused.status_code, "own_training" in refused.text) == (403, True)
    with pytest.raises(IntegrityError, match="ck_blind_votes_not_the_trainer"):
        platform.work(lambda session: _forced(session, comparison_id))


def _forced(session: Session, comparison_id: str) -> None:
    """A vote of the trainer past every rule in code."""
    found = blind.comparison(session, comparison_id)
    session.add(
        BlindVote(
            comparison_id=comparison_id, item_id="q0", voter=found.trained_by, trained_by=found.trained_by, vote="tie"
        )
    )
    session.flush()


def test_markup_in_questions_and_answers_is_shown_as_words(platform: Platform) -> None:
    evaluation_id = evaluated(platform, [*HOSTILE, *results()])
    comparison_id = requested(platform, evaluation_id)
    with platform.logged_in("reviewer") as reviewer, platform.logged_in("trainer") as trainer:
        pages = [trainer.get(f"/evaluations/{evaluation_id}?of=candidate&against=base").text]
        for _ in range(5):
            pages.append(reviewer.get(f"/blind/{comparison_id}/vote").text)
            vote(reviewer, "reviewer", comparison_id, "tie")
        trainer.post(f"/blind/{comparison_id}/close", data={"csrf": "csrf-of-trainer"})
        pages.append(trainer.get(f"/blind/{comparison_id}").text)
    assert sum("&lt;img src=x onerror=alert(1)&gt;" in page for page in pages) == 3
    for page in pages:
        assert "<img src=x" not in page
        assert "<script>alert" not in page
