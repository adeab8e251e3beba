"""The real Rasa server over its guarded channel: what it understands, answers, refuses and logs."""

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
import redis

from tests.bot.rasa.conftest import Run, RunningRasa
from tests.bot.rasa.project import macro_f1, utterances

pytestmark = pytest.mark.rasa

LEAST_MACRO_F1 = 0.93
MOST_MEMORY_MIB = 300
RAW_RRN = "900101-1234567"


def conversation() -> str:
    return uuid4().hex


def texts(answered: dict[str, Any]) -> str:
    return "\n".join(message.get("text", "") for message in answered["messages"])


def tickets(answered: dict[str, Any]) -> list[dict[str, Any]]:
    return [message["custom"]["data"] for message in answered["messages"] if "custom" in message]


def test_unseen_utterances_are_understood(rasa: RunningRasa) -> None:
    held_out = utterances("heldout")
    score = macro_f1([intent for _, intent in held_out], [rasa.parse(text) for text, _ in held_out])
    assert score >= LEAST_MACRO_F1, f"macro-F1 {score:.3f}"


def test_the_server_fits_its_memory(rasa: RunningRasa) -> None:
    rasa.say(conversation(), "안녕하세요")
    with open(f"/proc/{rasa.process_id}/status", encoding="ascii") as status:
        resident_kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident_kib / 1024 <= MOST_MEMORY_MIB


def test_no_turn_of_a_long_conversation_ends_in_silence(rasa: RunningRasa) -> None:
    chooser = random.Random(20261121)
    known = utterances("development")
    for _ in range(60):
        name, said = conversation(), []
        for text, _ in [("대출 계산해줘", ""), *chooser.sample(known, 7)]:
            said.append(text)
            answered = rasa.say(name, text)
            assert answered["messages"], said
            assert len(tickets(answered)) <= 1, said


@pytest.mark.parametrize(
    ("text", "ticket"),
    [
        ("예금자보호 한도가 얼마인가요", {"type": "answer"}),
        ("3천만원이요", {"type": "answer"}),
        ("뷁쉟뤫", {"type": "answer"}),
        ("상담원 연결해주세요", {"type": "handoff"}),
        ("답변이 정확해요", {"type": "feedback", "verdict": "up"}),
        ("답변이 틀렸어요", {"type": "feedback", "verdict": "down"}),
    ],
)
def test_what_the_gateway_acts_on_is_exactly_one_ticket(rasa: RunningRasa, text: str, ticket: dict[str, str]) -> None:
    assert rasa.say(conversation(), text)["messages"] == [{"custom": {"data": ticket}}]


@pytest.mark.parametrize(
    ("text", "korean", "english"),
    [
        ("안녕하세요", "해치은행", "Haechi Bank"),
        ("카드를 잃어버렸어요", "1588-0000", "1588-0000"),
        ("보이스피싱 당했어요", "112", "Financial Supervisory Service"),
        ("영업시간 알려주세요", "09:00~16:00", "weekdays"),
        ("오늘 달러 환율", "연결되어 있지 않아", "not connected"),
    ],
)
def test_fixed_answers_come_in_the_persons_language(rasa: RunningRasa, text: str, korean: str, english: str) -> None:
    name = conversation()
    assert korean in texts(rasa.say(name, text, "ko"))
    assert english in texts(rasa.say(name, text, "en"))
    assert korean in texts(rasa.say(name, text, "ko"))


def test_the_form_computes_the_monthly_payment(rasa: RunningRasa) -> None:
    name = conversation()
    assert "얼마를 빌리시나요" in texts(rasa.say(name, "대출 계산해줘"))
    assert "몇 년 동안" in texts(rasa.say(name, "2억이요"))
    assert "이자율은" in texts(rasa.say(name, "30년"))
    assert "매월 978,034원" in texts(rasa.say(name, "4.2%"))


def test_the_form_understands_spoken_numerals(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, "대출 계산")
    rasa.say(name, "삼천만원이요")
    rasa.say(name, "오년")
    result = texts(rasa.say(name, "사 점 오 퍼센트"))
    assert "원금 30,000,000원을 60개월 동안 연 4.5%" in result


def test_the_form_takes_all_values_from_one_sentence(rasa: RunningRasa) -> None:
    assert "매월 978,034원" in texts(rasa.say(conversation(), "2억을 30년 동안 4.2%로 빌리면 매달 얼마 갚아요?"))


def test_the_form_asks_again_on_nonsense_and_says_so(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    for nonsense in ("-3천만원", "5만원", "999조원"):
        answered = texts(rasa.say(name, nonsense))
        assert "금액을 알아듣지 못했습니다" in answered, nonsense
        assert "얼마를 빌리시나요" in answered, nonsense


@pytest.mark.parametrize(
    ("aside", "reply"), [("영업시간 알려줘", "09:00~16:00"), ("안녕하세요", "해치"), ("대출 계산해줘", "계산을 계속")]
)
def test_a_question_inside_the_form_is_answered_and_the_form_goes_on(rasa: RunningRasa, aside: str, reply: str) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    rasa.say(name, "1억")
    answered = texts(rasa.say(name, aside))
    assert reply in answered
    assert "몇 년 동안" in answered
    assert "이자율은" in texts(rasa.say(name, "10년"))


def test_a_knowledge_question_inside_the_form_gets_its_ticket_and_the_form_goes_on(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    answered = rasa.say(name, "예금자보호 한도가 얼마인가요")
    assert tickets(answered) == [{"type": "answer"}]
    assert "얼마를 빌리시나요" in texts(answered)


def test_a_number_in_a_knowledge_question_is_no_answer_to_the_form(rasa: RunningRasa) -> None:
    person = conversation()
    rasa.say(person, "대출 계산해줘")
    rasa.say(person, "3천만원")
    asked = rasa.say(person, "공항 라운지는 1년에 몇 번까지 무료인가요?")
    assert tickets(asked) == [{"type": "answer"}]
    assert texts(asked) == texts(rasa.say(person, "정기예금 중도해지 이율 알려줘")), "the form still asks for the term"


def test_a_whole_loan_in_one_sentence_is_computed(rasa: RunningRasa) -> None:
    assert "978,034" in texts(rasa.say(conversation(), "2억원을 30년 동안 연 4.2%로 빌리면?"))


def test_saying_no_stops_the_form_and_forgets_its_values(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    rasa.say(name, "1억")
    assert "그만두었습니다" in texts(rasa.say(name, "취소할게요"))
    assert "얼마를 빌리시나요" in texts(rasa.say(name, "대출 계산해줘"))


def test_a_finished_form_forgets_its_values(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, "1억 10년 4% 월 상환액 계산해줘")
    assert "얼마를 빌리시나요" in texts(rasa.say(name, "대출 계산해줘"))


@pytest.mark.parametrize("urgent", ["보이스피싱 당했어요", "카드를 잃어버렸어요", "상담원 연결해주세요"])
def test_what_cannot_wait_ends_the_form(rasa: RunningRasa, urgent: str) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    assert "얼마를 빌리시나요" not in texts(rasa.say(name, urgent))
    assert tickets(rasa.say(name, "예금자보호 한도가 얼마인가요")) == [{"type": "answer"}]


@pytest.mark.parametrize("typed", ["/restart", " /restart", "//restart", "／restart", "/session_start", "/back"])
def test_a_typed_command_does_not_run(rasa: RunningRasa, typed: str) -> None:
    name = conversation()
    rasa.say(name, "대출 계산해줘")
    rasa.say(name, "1억")
    # Still inside the form, at the same question: nothing was restarted or taken back.
    assert "몇 년 동안" in texts(rasa.say(name, typed))


def test_a_typed_intent_sets_no_slot(rasa: RunningRasa) -> None:
    name = conversation()
    rasa.say(name, '/loan_calculator{"loan_amount": "1억", "loan_term": "10년"}')
    rasa.say(name, "취소")
    assert "얼마를 빌리시나요" in texts(rasa.say(name, "대출 계산해줘"))


@pytest.mark.parametrize("path", ["webhook", "parse"])
@pytest.mark.parametrize("token", ["forged", "x", "rasa-token-for-test"])
def test_a_forged_token_is_refused(rasa: RunningRasa, path: str, token: str) -> None:
    response = rasa.post(path, {"conversation": "c", "text": "안녕", "locale": "ko"}, token)
    assert (response.status_code, response.json()) == (401, {"code": "unauthorised"})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"conversation": "c", "text": f"제 번호는 {RAW_RRN}입니다", "locale": "ko"}, 422, "not_masked"),
        ({"conversation": "c", "text": "카드 4111-1111-1111-1111", "locale": "ko"}, 422, "not_masked"),
        ({"conversation": "c", "text": "010-1234-5678로 전화", "locale": "ko"}, 422, "not_masked"),
        ({"conversation": "c", "text": "", "locale": "ko"}, 422, "empty_text"),
        ({"conversation": "c", "text": " / ", "locale": "ko"}, 422, "empty_text"),
        ({"conversation": "c", "text": "가" * 4001, "locale": "ko"}, 422, "bad_text"),
        ({"conversation": "c", "text": 5, "locale": "ko"}, 422, "bad_text"),
        ({"conversation": "c/../d", "text": "안녕", "locale": "ko"}, 422, "bad_conversation"),
        ({"text": "안녕", "locale": "ko"}, 422, "bad_conversation"),
        ({"conversation": "c", "text": "안녕", "locale": "fr"}, 422, "bad_locale"),
        ({"conversation": "c", "text": "안녕", "locale": ["ko"]}, 422, "bad_locale"),
        ({"conversation": "c", "text": "안녕", "metadata": {"name": "홍길동"}}, 422, "unknown_fields"),
        ({"conversation": "c", "text": "안녕", "input_channel": "rest"}, 422, "unknown_fields"),
        (["안녕"], 422, "unknown_fields"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (json.dumps({"text": "가" * 8_000}).encode(), 413, "body_too_large"),
    ],
)
def test_a_bad_request_is_refused_with_a_code_and_no_echo(rasa: RunningRasa, body: Any, status: int, code: str) -> None:
    response = rasa.post("webhook", body)
    assert (response.status_code, response.json()) == (status, {"code": code})


def test_parsing_leaves_no_trace_in_a_conversation(rasa: RunningRasa) -> None:
    response = rasa.post("parse", {"text": "대출 계산해줘"})
    assert response.json()["intent"]["name"] == "loan_calculator"
    assert 0 <= response.json()["intent"]["confidence"] <= 1
    assert tickets(rasa.say("default", "3천만원이요")) == [{"type": "answer"}]


def test_parsing_refuses_raw_text_too(rasa: RunningRasa) -> None:
    assert rasa.post("parse", {"text": f"번호 {RAW_RRN}"}).json() == {"code": "not_masked"}


@pytest.mark.parametrize(
    "path", ["/webhooks/rest/webhook", "/model/parse", "/status", "/conversations/c/tracker", "/domain", "/version"]
)
def test_nothing_but_the_guarded_channel_is_there(rasa: RunningRasa, path: str) -> None:
    assert rasa.http.get(path).status_code == 404
    assert rasa.http.post(path, json={}).status_code in (404, 405)


def test_health_is_a_synthetic_question(rasa: RunningRasa) -> None:
    response = rasa.http.get("/webhooks/guarded/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.fixture
def broken_actions() -> Iterator[str]:
    """An action server whose replies break the protocol."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply = json.dumps({"events": "none", "responses": [{"text": "MALFORMED"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/actions"
        server.shutdown()
        thread.join()


def test_a_malformed_reply_of_an_action_is_refused_and_nothing_of_the_turn_is_logged(
    run_rasa: Run, broken_actions: str
) -> None:
    with run_rasa(broken_actions) as running:
        name = conversation()
        running.say(name, "대출 계산해줘")
        answered = running.post("webhook", {"conversation": name, "text": "삼천칠백만원입니다", "locale": "ko"})
        assert "MALFORMED" not in answered.text
        logged = running.log.read_text(encoding="utf-8")
        assert '"level": "error"' in logged
        for trace in ("삼천칠백", "\\uc0bc\\ucc9c", name, "MALFORMED"):
            assert trace not in logged


def test_what_people_write_is_never_logged(rasa: RunningRasa) -> None:
    name = conversation()
    for text in ("코끼리코 상품이 궁금해요", "/restart 코끼리코", f"코끼리코 {RAW_RRN}"):
        rasa.post("webhook", {"conversation": name, "text": text, "locale": "ko"})
        rasa.post("parse", {"text": text})
    rasa.post("webhook", '{"text": "코끼리코"'.encode())
    logged = rasa.log.read_text(encoding="utf-8")
    assert "guarded" in logged or '"logger"' in logged
    for trace in ("코끼리코", "\\ucf54\\ub07c", RAW_RRN, "1234567", name):
        assert trace not in logged


def test_conversations_kept_in_redis_survive_a_restart_and_expire(
    run_rasa: Run, actions_url: str, redis_url: str
) -> None:
    name = conversation()
    with run_rasa(actions_url, HAECHI_RASA_TRACKER_URL=redis_url) as running:
        running.say(name, "대출 계산해줘")
        assert "몇 년 동안" in texts(running.say(name, "1억"))
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("*")
        assert 0 < client.ttl(key) <= 30 * 60
    with run_rasa(actions_url, HAECHI_RASA_TRACKER_URL=redis_url) as running:
        assert "이자율은" in texts(running.say(name, "10년"))
