"""A guest of the web page on the real platform: asked, routed, answered, judged; and what the door refuses."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from llm_service.client import parse_event
from tests.journeys.conftest import RunningPlatform

MARKER = "유니콘풍선껌"


class Guest:
    """One guest with one conversation; with a token of its own, whoever that token belongs to."""

    def __init__(self, http: httpx.Client, token: str | None = None) -> None:
        self._http = http
        self._conversation = str(uuid4())
        token = token or http.post("/v1/session", json={"locale": "ko"}).json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def post(self, **changes: object) -> httpx.Response:
        body = {"message_id": str(uuid4()), "conversation": self._conversation, "text": "", "locale": "ko", **changes}
        return self._http.post("/v1/chat", json=body, headers=self.headers)

    def ask(self, text: str, **changes: object) -> list[tuple[str, dict[str, Any]]]:
        response = self.post(text=text, **changes)
        assert response.status_code == httpx.codes.OK, response.text
        events = (parse_event(block.split("\n")) for block in response.text.replace("\r\n", "\n").split("\n\n"))
        return [(event.event, event.data) for event in events if event]

    def answer(self, text: str) -> str:
        return "".join(data["text"] for name, data in self.ask(text) if name == "token")


@pytest.fixture
def http(running_platform: RunningPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running_platform.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def guest(http: httpx.Client) -> Guest:
    return Guest(http)


def rows(platform: RunningPlatform, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{platform.home / 'haechi.db'}?mode=ro", uri=True) as database:
        return database.execute(statement, values).fetchall()


def test_a_question_is_masked_routed_answered_with_sources_and_judged(
    running_platform: RunningPlatform, guest: Guest, http: httpx.Client
) -> None:
    events = guest.ask("제 번호는 010-9876-5432인데요, 해외에서 체크카드를 쓰면 수수료가 얼마인가요?")
    names = [name for name, _ in events]
    assert names[0] == "turn"
    assert names.index("sources") < names.index("token")
    assert names[-1] == "done"
    turn, done = events[0][1], events[-1][1]
    assert turn["masked"] is True
    assert done["state"] == "answered"
    assert {"mask", "route", "retrieve", "answer", "total"} <= set(done["timings"])
    sources = next(data for name, data in events if name == "sources")["sources"]
    assert sources[0]["label"].startswith("「")
    verdict = {"turn_id": turn["turn_id"], "event_id": str(uuid4()), "verdict": "up"}
    assert http.post("/v1/feedback", json=verdict, headers=guest.headers).status_code == httpx.codes.CREATED
    stored = turn["turn_id"].split(".")[0]
    assert rows(running_platform, "SELECT verdict, state FROM feedback WHERE turn_id = ?", stored) == [
        ("up", "pending")
    ]
    ((question,),) = rows(running_platform, "SELECT question FROM turns WHERE id = ?", stored)
    assert "<PHONE_1>" in question
    assert "5432" not in question


def documents_of(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [source["document"] for name, data in events if name == "sources" for source in data["sources"]]


@pytest.mark.parametrize(
    "question",
    [
        "고객 가족이 와서 거래내역을 달라는데 줘도 되나요?",
        "대리인이 오면 실명확인을 어떻게 하나요?",
        "고객이 금리인하를 신청하면 창구에서 무엇을 확인하나요?",
    ],
)
def test_what_the_staff_is_shown_of_its_own_documents_a_customer_is_not(
    running_platform: RunningPlatform, http: httpx.Client, guest: Guest, question: str
) -> None:
    teller = Guest(http, running_platform.token)
    assert [path for path in documents_of(teller.ask(question, audience="staff")) if path.startswith("staff/")]
    events = guest.ask(question)
    shown, refused = documents_of(events), events[-1][1]["refused"]
    assert shown or refused
    assert [path for path in shown if path.startswith("staff/")] == []


def test_typed_praise_is_kept_as_feedback_on_the_answer_before_it(
    running_platform: RunningPlatform, guest: Guest
) -> None:
    turn = guest.ask("예금자보호 한도가 얼마인가요?")[0][1]
    guest.answer("도움이 됐어요")
    assert rows(
        running_platform, "SELECT verdict, state FROM feedback WHERE turn_id = ?", turn["turn_id"].split(".")[0]
    ) == [("up", "pending")]


def test_the_loan_form_computes_a_payment_over_several_turns(guest: Guest) -> None:
    guest.ask("대출 계산해줘")
    guest.ask("1억")
    guest.ask("10년")
    assert "1,012,451" in guest.answer("4%")


def test_a_lost_card_gets_the_number_to_call_at_once(guest: Guest) -> None:
    assert "1588-0000" in guest.answer("카드를 잃어버렸어요")


def test_the_same_message_again_is_answered_once(running_platform: RunningPlatform, guest: Guest) -> None:
    message = str(uuid4())
    first = guest.post(message_id=message, text="예금자보호 한도가 얼마인가요?")
    again = guest.post(message_id=message, text="예금자보호 한도가 얼마인가요?")
    assert first.status_code == again.status_code == httpx.codes.OK
    assert rows(running_platform, "SELECT count(*) FROM turns WHERE event_id = ?", message) == [(1,)]


BAD_TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "20,000 characters": MARKER * 3_400,
    "binary": f"{MARKER}\x00\x01",
    "emoji only": "😀😀🎉",
    "SQL": f"'; DROP TABLE turns; -- {MARKER}",
    "HTML": f"<script>alert('{MARKER}')</script>",
    "a typed command": "/restart",
    "a typed intent": '/loan_calculator{"loan_amount": "%s"}' % MARKER,  # noqa: UP031
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_input_is_refused_with_a_code_and_leaves_no_trace(
    running_platform: RunningPlatform, guest: Guest, text: str
) -> None:
    before = rows(running_platform, "SELECT count(*) FROM turns")
    refused = guest.post(text=text)
    assert httpx.codes.is_client_error(refused.status_code)
    error = refused.json()["error"]
    assert error["code"]
    assert error["message"]
    assert error["message_ko"]
    assert MARKER not in refused.text
    assert rows(running_platform, "SELECT count(*) FROM turns") == before
    assert MARKER not in running_platform.log


def test_bad_requests_are_refused_with_a_code(http: httpx.Client, guest: Guest) -> None:
    json_type = {"Content-Type": "application/json"}
    malformed = http.post("/v1/chat", content=f'{{"text": "{MARKER}', headers={**guest.headers, **json_type})
    wrong_token = http.post("/v1/chat", json={}, headers={"Authorization": "Bearer wrong"})
    body = json.dumps({"text": MARKER * 20_000}).encode()
    too_large = http.post("/v1/chat", content=body, headers={**guest.headers, **json_type})
    feedback = {"turn_id": "0" * 32, "event_id": str(uuid4()), "verdict": "up"}
    unknown_turn = http.post("/v1/feedback", json=feedback, headers=guest.headers)
    statuses = [malformed.status_code, wrong_token.status_code, too_large.status_code, unknown_turn.status_code]
    assert statuses == [400, 401, 413, 404]
    for refused in (malformed, wrong_token, too_large, unknown_turn):
        assert refused.json()["error"]["code"]
        assert MARKER not in refused.text
