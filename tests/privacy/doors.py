"""Every door of the platform, tried with canaries: as people use it, as mistakes use it, and while parts are missing.

A door says nothing of what is right; it sends, notes the status, and keeps what was refused, to be searched as well.
"""

import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final
from uuid import uuid4

import httpx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from llm_service.client import CONVERSATION_HEADER, PERSON_HEADER, ROLES_HEADER, LlmServiceClient
from llm_service.handoff_client import AgentHandoffs
from llm_service.learning_client import LearningClient, NewDraft
from tests.privacy.canaries import Canary
from tests.privacy.search import Place
from tests.privacy.stack import Stack

REQUEST_SECONDS: Final = 90.0
REVIEWERS: Final = ("reviewer", "approver", "trainer")
DETERMINISTIC: Final = (
    "카드를 잃어버렸어요. {}",
    "상담원 연결해 주세요. {}",
    "영업시간 알려 주세요. {}",
    "민원을 넣고 싶어요. {}",
)
COMMANDS: Final = ("/restart {}", '/inform{{"loan_amount": "{}"}}', "／restart {}", "\u200b/restart {}")
NOT_QUESTIONS: Final = ("<script>alert('{}')</script>", "'; DROP TABLE turns; -- {}", "{}\x00", "\ufffd{}\ufffd\ufffd")


@dataclass
class Doors:
    """Sends canaries through doors; `tried` counts requests by door and status."""

    stack: Stack
    canaries: tuple[Canary, ...]
    tried: Counter[str] = field(default_factory=Counter)
    refusals: list[Place] = field(default_factory=list)
    turn_id: str = ""
    guest_token: str = ""

    @property
    def doors(self) -> set[str]:
        return {name.rpartition(" ")[0] for name in self.tried}

    @property
    def all_at_once(self) -> str:
        return " / ".join(canary.text for canary in self.canaries if canary.is_certain)

    @property
    def of_documents(self) -> str:
        """What a document may hold and must lose: identifiers. Names stay in documents by policy."""
        return "\n\n".join(canary.text for canary in self.canaries if canary.type != "PERSON")

    # --- as people use it

    async def talk(self, locale: str = "ko") -> None:
        """A guest opens a session and says every canary; the last turn is resumed, stopped and judged."""
        await self.open_session(locale)
        for canary in self.canaries:
            await self.ask(canary.text, locale)
        await self.judge(self.all_at_once)

    async def open_session(self, locale: str = "ko") -> None:
        replied = await self.gateway("session", "POST", "/v1/session", {"locale": locale}, token="")
        self.guest_token = json.loads(replied.content)["token"]

    async def ask(self, text: str, locale: str = "ko", door: str = "chat", conversation: str = "") -> httpx.Response:
        body = {"message_id": str(uuid4()), "conversation": conversation or str(uuid4()), "text": text}
        replied = await self.gateway(door, "POST", "/v1/chat", {**body, "locale": locale})
        if replied.status_code == httpx.codes.OK:
            self.turn_id = _turn_of(replied) or self.turn_id
        if replied.status_code == httpx.codes.OK and door == "chat":
            again = await self.gateway("resume", "POST", "/v1/chat", {**body, "locale": locale}, {"Last-Event-ID": "1"})
            assert again.status_code == httpx.codes.OK
            await self.gateway("stop", "POST", f"/v1/chat/{self.turn_id}/stop")
        return replied

    async def judge(self, correction: str) -> None:
        body = {"turn_id": self.turn_id, "event_id": str(uuid4()), "verdict": "down", "correction": correction}
        await self.gateway("feedback", "POST", "/v1/feedback", body)

    async def follow_flows(self) -> None:
        """Card loss, hand-off, a loan form filled with numbers that are none: what Rasa answers by itself."""
        for canary, template in zip(self.canaries, cycle(DETERMINISTIC), strict=False):
            await self.ask(template.format(canary.text), door="deterministic flow")
        conversation = str(uuid4())
        for said in ("대출 계산해 줘", *(canary.text for canary in self.canaries[:6]), "3천만원", "5년", "4.5%"):
            await self.ask(said, door="loan form", conversation=conversation)

    async def talk_to_a_person(self) -> None:
        """A guest and an agent say every canary to each other; what the guest then reads is read to its end."""
        service = LlmServiceClient(self.stack.settings.llm_service_url, self.stack.token)
        agent, conversation = AgentHandoffs(service, "agent-of-the-doors", ["agent"]), str(uuid4())
        own, query = {"conversation": conversation}, f"conversation={conversation}"
        try:
            await self.gateway("hand-off", "POST", "/v1/handoff", own)
            handoff = (await agent.queue(["waiting"]))[-1]
            await agent.take(handoff.id)
            for place, canary in enumerate(self.canaries):
                await self.ask(canary.text, door="to the agent", conversation=conversation)
                said = {**own, "message_id": str(uuid4()), "text": canary.text}
                await self.gateway("message to the agent", "POST", "/v1/handoff/messages", said)
                await agent.reply(handoff.id, f"reply-{place}", f"확인했습니다: {canary.text}")
            await agent.close(handoff.id)
            await self.gateway("words of the agent", "GET", f"/v1/handoff/events?{query}")
            await self.gateway("rating", "POST", "/v1/handoff/rate", {**own, "rating": 5})
        finally:
            await service.close()

    async def type_oddities(self) -> None:
        """Commands, markup, statements, placeholders and signs nobody can read."""
        for canary in self.canaries:
            for template in (*COMMANDS, *NOT_QUESTIONS):
                await self.ask(template.format(canary.typed), door="typed command or markup")
            await self.ask(f"<PHONE_1> [PERSON_1] &lt;{canary.type}_1&gt; {canary.text}", door="typed placeholder")
        await self.ask(self.all_at_once * 10, door="over-long text")

    # --- as mistakes use it

    async def send_nonsense_to_the_gateway(self) -> None:
        for canary in self.canaries:
            value = canary.typed
            cut, wrong = f'{{"text": "{value}'.encode(), {"text": {value: value}, value: value}
            for path in ("/v1/session", "/v1/chat", "/v1/feedback", "/v1/route"):
                await self.gateway("malformed JSON", "POST", path, cut)
                await self.gateway("wrong fields", "POST", path, wrong)
                await self.gateway("wrong token", "POST", path, {"text": value}, token=f"Bearer{len(value)}")
            chat = {"message_id": value, "conversation": value, "text": canary.text, "locale": value, "user": value}
            await self.gateway("wrong fields", "POST", "/v1/chat", chat)
            await self.gateway("unknown turn", "POST", f"/v1/chat/{value}/stop")
            await self.gateway("unknown turn", "POST", "/v1/feedback", {**_verdict(value), "correction": canary.text})
            await self.gateway("unknown path", "GET", f"/v1/{value}", query=value)
            await self.gateway("wrong method", "PUT", "/v1/chat", {"text": value}, query=value)
            await self.gateway("request id", "GET", "/v1/nothing", headers={"X-Request-Id": _visible(value)})
        await self.gateway("body too large", "POST", "/v1/chat", {"text": self.all_at_once * 100})
        await self.gateway("token that is a value", "POST", "/v1/chat", {}, token=_visible(self.canaries[0].typed))

    async def send_nonsense_to_llm_service(self) -> None:
        for canary in self.canaries:
            value, wrong = canary.typed, {"text": [canary.typed], canary.typed: 1}
            for path in ("/v1/turns", "/v1/feedback", "/v1/search", "/v1/mask", "/v1/erasures", "/v1/audit/search"):
                await self.llm_service("malformed JSON", "POST", path, f'{{"text": "{value}'.encode())
                await self.llm_service("wrong fields", "POST", path, wrong)
                await self.llm_service("wrong token", "POST", path, {"text": value}, token="wrong")
            turn = f"/v1/turns/{value}"
            for method, path in (("GET", turn), ("GET", f"{turn}/events"), ("POST", f"{turn}/stop"), ("PUT", turn)):
                await self.llm_service("unknown turn", method, path, headers={CONVERSATION_HEADER: _visible(value)})
            restore = {"owner": value, "placeholders": ["<PHONE_1>", value]}
            await self.llm_service("restore", "POST", f"/v1/conversations/{value}/restore", restore)
            await self.llm_service("restore", "POST", "/v1/conversations/a/restore", {**restore, "placeholders": []})
            person = {"person": {"type": canary.type, "value": value}, "reason": "asked", "dry_run": True}
            await self.llm_service("erasure", "POST", "/v1/erasures", person)
            await self.llm_service("unknown path", "GET", f"/v1/{value}", query=value)
            await self.llm_service("search", "POST", "/v1/search", {"question": canary.text, "audience": "customer"})
            await self.llm_service("mask", "POST", "/v1/mask", {"text": canary.text * 100})

    async def send_nonsense_behind_the_gateway(self) -> None:
        """Rasa and the action server, which only their own callers know."""
        rasa = f"http://127.0.0.1:{self.stack.settings.rasa_port}"
        actions = f"http://127.0.0.1:{self.stack.settings.actions_port}"
        for canary in self.canaries:
            value = canary.typed
            body = {"conversation": "a", "text": canary.text, "locale": "ko"}
            for path in ("/webhooks/guarded/webhook", "/webhooks/guarded/parse", "/webhooks/rest/webhook", f"/{value}"):
                await self._send("rasa, wrong token", "POST", rasa + path, body, {"Authorization": "Bearer wrong"})
                await self._send("rasa, malformed", "POST", rasa + path, f'{{"text": "{value}'.encode())
                await self._send("rasa, query", "GET", f"{rasa}{path}", headers={"X-Request-Id": _visible(value)})
            call = {"next_action": value, "tracker": {"slots": {"loan_amount": value, "loan_term": [value]}}}
            own = {"Authorization": f"Bearer {self.stack.token}"}
            await self._send("actions, wrong token", "POST", f"{actions}/actions", call)
            await self._send("actions, unknown", "POST", f"{actions}/actions", call, own)
            await self._send(
                "actions, slots", "POST", f"{actions}/actions", {**call, "next_action": "validate_loan_form"}, own
            )
            await self._send("actions, malformed", "POST", f"{actions}/actions", {"tracker": value}, own)

    # --- documents

    async def hand_in_documents(self) -> None:
        """Identifiers in documents that can be read, are broken, are locked, are nothing at all."""
        text = f"# 정기예금 안내\n\n{self.of_documents}\n"
        titled = self.canaries[0].text
        for name, content in _documents(text, titled).items():
            form = {"path": f"docs/{name}", "audience": "staff,customer"}
            await self._upload("document", form, content)
        for canary in self.canaries:
            await self._upload("document, refused", {"path": f"../{canary.typed}", "audience": canary.typed}, b"x")
        await self.llm_service("documents", "GET", "/v1/documents")

    async def _upload(self, door: str, form: Mapping[str, str], content: bytes) -> None:
        url = f"{self.stack.settings.llm_service_url}/v1/documents"
        own = {"Authorization": f"Bearer {self.stack.token}"}
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False) as http:
            replied = await http.post(url, data=dict(form), files={"file": ("upload", content)}, headers=own)
        self._note(door, replied)

    # --- what is learnt

    async def learn(self) -> None:
        """Reviewers type canaries, drafts hold them, two people approve everything, and a dataset is frozen."""
        service = LlmServiceClient(self.stack.settings.llm_service_url, self.stack.token)
        try:
            reviewer, first, second = (LearningClient(service, name, REVIEWERS) for name in ("a", "b", "c"))
            drafts = [NewDraft("curated", one.text, f"안내: {one.text}", "file:1", "bank") for one in self.canaries]
            await reviewer.add_drafts(
                [draft for one, draft in zip(self.canaries, drafts, strict=True) if one.is_certain]
            )
            certain = cycle(one.text for one in self.canaries if one.is_certain)
            for item in await first.review_items(limit=200):
                version = item.version
                if item.kind == "correction":
                    typed = next(certain)
                    version = (await reviewer.propose(item.id, version, typed, f"답변 {typed}", "wrong")).version
                    self.tried["review proposed"] += 1
                version = (await first.approve(item.id, version, "wrong")).version
                await second.approve(item.id, version)
                self.tried["review approved"] += 1
            for canary in self.canaries:
                value = canary.typed
                own = {PERSON_HEADER: _visible(value) or "a", ROLES_HEADER: _visible(value) or "a"}
                for path in (f"/v1/review/items/{value}", f"/v1/datasets/{value}", f"/v1/training/runs/{value}"):
                    await self.llm_service("learning, unknown", "GET", path, headers=own)
                await self.llm_service(
                    "learning, wrong fields", "POST", "/v1/review/drafts", {value: value}, headers=own
                )
        finally:
            await service.close()
        done = self.stack.haechi("dataset", "build", "--general-share", "0", "--heldout-share", "0", "--json")
        self.tried[f"haechi dataset build {done.returncode}"] += 1

    # --- commands

    def run_commands(self) -> None:
        """The command line, in batches and alone, with lines that are none."""
        asked = [{"id": str(place), "question": canary.text} for place, canary in enumerate(self.canaries)]
        texts = [{"id": str(place), "text": canary.text} for place, canary in enumerate(self.canaries)]
        broken = "".join(f"{canary.text}\n" for canary in self.canaries)
        for command, requests in (("ask", asked[:6]), ("search", asked), ("mask", texts), ("route", texts)):
            lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in requests)
            done = self.stack.haechi(command, "--jsonl", lines=lines + broken)
            self.tried[f"haechi {command} --jsonl {done.returncode}"] += 1
        done = self.stack.haechi("ask", self.canaries[0].text)
        self.tried[f"haechi ask {done.returncode}"] += 1

    # --- how requests are sent

    async def gateway(
        self,
        door: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        query: str = "",
    ) -> httpx.Response:
        token = self.guest_token if token is None else token
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.stack.settings.gateway_url}{path}"
        return await self._send(f"gateway: {door}", method, url, body, {**bearer, **(headers or {})}, query)

    async def llm_service(
        self,
        door: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        query: str = "",
    ) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {token or self.stack.token}"}
        url = f"{self.stack.settings.llm_service_url}{path}"
        return await self._send(f"llm_service: {door}", method, url, body, {**bearer, **(headers or {})}, query)

    async def _send(
        self,
        door: str,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        parameters = {"q": query} if query else None
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False) as http:
            replied = await http.request(method, url, content=content, headers=sent, params=parameters)
        self._note(door, replied)
        return replied

    def _note(self, door: str, replied: httpx.Response) -> None:
        self.tried[f"{door} {replied.status_code}"] += 1
        # Sanic's page for paths that Rasa has not got repeats the path to whoever asked; it is kept by nobody.
        repeats_paths = door.startswith("rasa") and replied.status_code == httpx.codes.NOT_FOUND
        if replied.is_error and not repeats_paths:
            self.refusals.append(Place(f"refusal by {door}", replied.content, is_log=True))

    @asynccontextmanager
    async def broken_off(self, text: str) -> AsyncIterator[tuple[httpx.Response, dict[str, str]]]:
        """A question whose answer has begun and is still being read inside the block."""
        body = {"message_id": str(uuid4()), "conversation": str(uuid4()), "text": text}
        url = f"{self.stack.settings.gateway_url}/v1/chat"
        bearer = {"Authorization": f"Bearer {self.guest_token}"}
        async with (
            httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False) as http,
            http.stream("POST", url, json=body, headers=bearer) as answered,
        ):
            self.tried[f"gateway: broken off {answered.status_code}"] += 1
            yield answered, body


def _documents(text: str, title: str) -> dict[str, bytes]:
    return {
        "안내.md": text.encode(),
        "안내.txt": text.encode("cp949", "replace"),
        "안내.csv": f"질문,답\n{json.dumps(text, ensure_ascii=False)},예\n".encode(),
        "안내.html": f"<html><title>{title}</title><body><p>{text}</p></body></html>".encode(),
        "안내.json": json.dumps({"text": text}).encode(),
        "깨진.pdf": b"%PDF-1.7\n" + text.encode(),
        "깨진.docx": b"PK\x03\x04" + text.encode(),
        "잠긴.pdf": _locked_pdf(text),
        "이진.txt": b"\x00\xff" + text.encode(),
    }


def _locked_pdf(text: str) -> bytes:
    written = io.BytesIO()
    canvas = Canvas(written, encrypt=StandardEncryption("locked", canPrint=0))
    for place, line in enumerate(text.splitlines()):
        canvas.drawString(40, 800 - place % 50 * 15, line.encode("ascii", "replace").decode())
    canvas.save()
    return written.getvalue()


def _verdict(turn_id: str) -> dict[str, str]:
    return {"turn_id": turn_id, "event_id": str(uuid4()), "verdict": "down"}


def _visible(value: str) -> str:
    """A value as it can stand in a header."""
    return value.encode("ascii", "ignore").decode().strip() or "none"


def _turn_of(replied: httpx.Response) -> str:
    for line in replied.text.splitlines():
        if line.startswith("data:") and "turn_id" in line:
            return str(json.loads(line.removeprefix("data:"))["turn_id"])
    return ""
