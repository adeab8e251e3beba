"""Stand-ins for llm_service and Rasa that speak their wire over real HTTP, and the thread that serves an app.

They are not the services: they mask one telephone number, know five questions, and are told when to fail. What the real
ones promise is tested where they are built; the journeys run the real ones.
"""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SERVICE_TOKEN = "service-token-of-the-tests-0123456789"
RASA_TOKEN = "rasa-token-of-the-tests-0123456789abc"
PHONE_NUMBER = "010-1234-5678"

SENTENCES = (
    "금융회사등에 종사하는 자는 명의인의 서면상의 요구나 동의를 받지 아니하고는 ",
    "그 금융거래의 내용에 대한 정보 또는 자료를 타인에게 제공하거나 누설하여서는 아니 된다. [1]\n\n",
    "가족이라도 명의인의 동의가 없으면 거래정보를 제공할 수 없습니다. ",
    "위임을 받은 경우에는 위임장과 명의인의 신분증 사본을 확인합니다. [2]",
)
SOURCES = [
    {
        "number": 1,
        "passage_id": 11,
        "label": "「금융실명거래 및 비밀보장에 관한 법률」 제4조 제1항 (시행 2025-04-01)",
        "document": "금융실명법.md",
        "title": "금융실명거래 및 비밀보장에 관한 법률",
        "article": "제4조",
        "page": None,
        "heading_path": ["제4조(금융거래의 비밀보장)"],
        "text": "① 금융회사등에 종사하는 자는 명의인의 서면상의 요구나 동의를 받지 아니하고는 그 금융거래의 내용에 "
        "대한 정보 또는 자료를 타인에게 제공하거나 누설하여서는 아니 되며, 누구든지 금융회사등에 종사하는 자에게 "
        "거래정보등의 제공을 요구하여서는 아니 된다.",
        "score": 0.91,
        "in_force_from": "2025-04-01",
    },
    {
        "number": 2,
        "passage_id": 12,
        "label": "실명확인 업무안내 3쪽",
        "document": "staff/실명확인_업무안내.md",
        "title": "실명확인 업무안내",
        "article": None,
        "page": 3,
        "heading_path": ["대리인", "가족이 온 경우"],
        "text": "가족이 거래내역을 요청하면 명의인의 동의서 또는 위임장을 받고, 명의인과 방문한 가족의 신분증을 "
        "함께 확인한다.",
        "score": 0.74,
        "in_force_from": None,
    },
]


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an app on a free loopback port from its own thread, and yield its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2)
    )
    started = threading.Event()
    startup = server.startup

    async def tell_started(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = tell_started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(timeout=20), "the app did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


class Swap:
    """An app whose inside is exchanged from test to test, so that a module's tests share one server."""

    def __init__(self) -> None:
        self.inside: ASGIApp = Starlette()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inside(scope, receive, send)


@dataclass
class KeptTurn:
    turn_id: str
    conversation_id: str
    question: str
    state: str = "received"
    answer: str | None = None
    route: dict[str, Any] | None = None
    entity_counts: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False


@dataclass
class LlmServiceStandIn:
    """Keeps turns and feedback in lists that tests read. `pace_seconds` is the time between two tokens."""

    pace_seconds: float = 0.0
    masking_down: bool = False
    answering_down: bool = False
    cut_after: int | None = None
    turns: dict[tuple[str, str], KeptTurn] = field(default_factory=dict)
    conversations: dict[tuple[str, str], str] = field(default_factory=dict)
    conversation_keys: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    as_of: list[str | None] = field(default_factory=list)
    generations: int = 0
    readiness_asked: int = 0
    open_streams: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/turns", self.create_turn, methods=["POST"]),
                Route("/v1/turns/{turn_id}", self.turn),
                Route("/v1/turns/{turn_id}/answer", self.start_answer, methods=["POST"]),
                Route("/v1/turns/{turn_id}/reply", self.store_reply, methods=["POST"]),
                Route("/v1/turns/{turn_id}/stop", self.stop, methods=["POST"]),
                Route("/v1/turns/{turn_id}/events", self.events),
                Route("/v1/feedback", self.give_feedback, methods=["POST"]),
                Route("/v1/mask", self.mask, methods=["POST"]),
                Route("/health/ready", self.ready),
            ]
        )

    def all_turns(self) -> list[KeptTurn]:
        return list(self.turns.values())

    async def create_turn(self, request: Request) -> Response:
        if self.masking_down:
            return failure("masking_unavailable", 503)
        body = await request.json()
        key = body["conversation"]
        self.conversation_keys.append(key)
        conversation_id = self.conversations.setdefault((key["channel"], key["thread"]), uuid4().hex)
        known = self.turns.get((conversation_id, body["event_id"]))
        if known is None:
            counts = {"KR_PHONE": 1} if PHONE_NUMBER in body["text"] else {}
            masked = body["text"].replace(PHONE_NUMBER, "<KR_PHONE_1>")
            kept = KeptTurn(uuid4().hex, conversation_id, masked, entity_counts=counts)
            self.turns[conversation_id, body["event_id"]] = kept
        turn = known or kept
        return JSONResponse(
            {
                "turn_id": turn.turn_id,
                "conversation_id": conversation_id,
                "masked_text": turn.question,
                "entity_counts": turn.entity_counts,
                "replayed": known is not None,
                "state": turn.state,
                "timings": {"mask": 1.5},
            }
        )

    async def start_answer(self, request: Request) -> Response:
        if self.answering_down:
            return failure("engine_unavailable", 503)
        turn, body = self.found(request), await request.json()
        self.as_of.append(body["as_of"])
        if turn.state == "received":
            turn.state, turn.route = "answering", body["route"]
            self.generations += 1
            task = asyncio.create_task(self.generate(turn))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return JSONResponse({})

    async def generate(self, turn: KeptTurn) -> None:
        refused = "문서에 없는" in turn.question
        self.emit(turn, "sources", {"sources": [] if refused else SOURCES})
        sentences: tuple[str, ...] = (
            ("문서에서 찾지 못했습니다. 상담원에게 연결해 드릴까요?",) if refused else SENTENCES
        )
        pieces = re.findall(r"\S+\s*", "".join(sentences))
        if "길게" in turn.question:
            pieces = pieces * 500
        for piece in pieces:
            if turn.stopped:
                break
            await asyncio.sleep(self.pace_seconds)
            self.emit(turn, "token", {"text": piece})
        turn.state = "stopped" if turn.stopped else "refused" if refused else "answered"
        done = {
            "turn_id": turn.turn_id,
            "state": turn.state,
            "refused": refused,
            "engine": "extractive",
            "timings": {"retrieve": 4.0, "answer": 20.0},
        }
        self.emit(turn, "done", done)

    def emit(self, turn: KeptTurn, event: str, data: dict[str, Any]) -> None:
        turn.events.append((event, data))
        turn.changed.set()
        turn.changed = asyncio.Event()

    async def events(self, request: Request) -> Response:
        turn = self.found(request)
        return StreamingResponse(
            self.stream(turn, int(request.headers["last-event-id"])), media_type="text/event-stream"
        )

    async def stream(self, turn: KeptTurn, after: int) -> AsyncIterator[str]:
        self.open_streams += 1
        try:
            async for event in self.told(turn, after):
                yield event
        finally:
            self.open_streams -= 1

    async def told(self, turn: KeptTurn, after: int) -> AsyncIterator[str]:
        sent = after
        while True:
            while sent < len(turn.events):
                if self.cut_after == sent:
                    self.cut_after = None
                    return
                event, data = turn.events[sent]
                sent += 1
                yield f"id: {sent}\nevent: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
                if event == "done":
                    return
            await turn.changed.wait()

    async def store_reply(self, request: Request) -> Response:
        turn, body = self.found(request), await request.json()
        turn.state, turn.answer, turn.route = "replied", body["text"], body["route"]
        return JSONResponse({})

    async def stop(self, request: Request) -> Response:
        self.found(request).stopped = True
        return JSONResponse({})

    async def turn(self, request: Request) -> Response:
        turn = self.found(request)
        return JSONResponse(
            {
                "turn_id": turn.turn_id,
                "conversation_id": turn.conversation_id,
                "state": turn.state,
                "question": turn.question,
                "answer": turn.answer,
                "refused": turn.state == "refused",
                "engine": None,
                "intent": turn.route["intent"] if turn.route else None,
                "sources": [],
                "timings": {},
            }
        )

    async def give_feedback(self, request: Request) -> Response:
        body = await request.json()
        if body.get("turn_id") is None:
            conversation_id = request.headers["x-haechi-conversation"]
            answers = [
                turn
                for turn in self.turns.values()
                if turn.conversation_id == conversation_id and turn.state in ("answering", "answered", "refused")
            ]
            if not answers:
                return failure("answer_not_found", 404)
            if answers[-1].state == "answering":
                return failure("turn_not_finished", 409)
            body["turn_id"] = answers[-1].turn_id
        if not any(kept["event_id"] == body["event_id"] for kept in self.feedback):
            self.feedback.append(body)
        return JSONResponse({"feedback_id": "f" * 32})

    async def mask(self, request: Request) -> Response:
        text = (await request.json())["text"]
        if self.masking_down:
            return failure("masking_unavailable", 503)
        counts = {"PHONE": 1} if PHONE_NUMBER in text else {}
        return JSONResponse({"masked": text.replace(PHONE_NUMBER, "<KR_PHONE_1>"), "entity_counts": counts})

    async def ready(self, _request: Request) -> Response:
        self.readiness_asked += 1
        return JSONResponse({"ready": True, "parts": {}})

    def found(self, request: Request) -> KeptTurn:
        conversation_id = request.headers["x-haechi-conversation"]
        (turn,) = [
            kept
            for kept in self.turns.values()
            if kept.turn_id == request.path_params["turn_id"] and kept.conversation_id == conversation_id
        ]
        return turn


@dataclass
class RasaStandIn:
    """Answers greetings and card loss itself and hands the rest to the documents; or says `says`, whatever is asked."""

    says: Response | None = None
    received: list[dict[str, Any]] = field(default_factory=list)
    inside: int = 0
    most_inside: int = 0
    hold_seconds: float = 0.0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/webhooks/guarded/webhook", self.webhook, methods=["POST"]),
                Route("/webhooks/guarded/parse", self.parse, methods=["POST"]),
            ]
        )

    async def webhook(self, request: Request) -> Response:
        body = await request.json()
        self.received.append(body)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await asyncio.sleep(self.hold_seconds)
        self.inside -= 1
        return self.says or JSONResponse(reply_to(body["text"]))

    async def parse(self, request: Request) -> Response:
        body = await request.json()
        self.received.append(body)
        return self.says or JSONResponse({"intent": reply_to(body["text"])["intent"]})


def reply_to(text: str) -> dict[str, Any]:
    answer = {"custom": {"data": {"type": "answer"}}}
    known = {
        "안녕하세요": ("greet", [{"text": "안녕하세요, 해치입니다."}]),
        "카드를 잃어버렸어요": ("card_lost", [{"text": "분실신고 전화로 바로 접수해 주세요."}]),
        "상담원 연결해 주세요": ("human_handoff", [{"custom": {"data": {"type": "handoff"}}}]),
        "도움이 안 됐어요": ("feedback_negative", [{"custom": {"type": "feedback", "verdict": "down"}}]),
        "3천만원 빌리고 싶은데 예금자보호는?": ("ask_knowledge", [answer, {"text": "대출 기간을 알려 주세요."}]),
    }
    intent, messages = known.get(text, ("ask_knowledge", [answer]))
    return {"intent": {"name": intent, "confidence": 0.93}, "messages": messages}


def failure(code: str, status: int) -> Response:
    return JSONResponse({"error": {"code": code, "message": "stand-in", "message_ko": ""}}, status_code=status)
