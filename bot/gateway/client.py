"""The way in to the gateway for services: one question asked and its answer collected, or one text routed.

For the command line and the load benchmark, which present the service token. Knows the gateway's wire, not its inside.
"""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from uuid import uuid4

import httpx

from llm_service.client import Audience, Locale, Source, parse_event

CALL_TIMEOUT_SECONDS: Final = 15.0
STREAM_SILENCE_SECONDS: Final = 60.0


class GatewayError(Exception):
    """The gateway declined or failed: `code` is stable, `status` is HTTP's (503 when nothing answered)."""

    def __init__(self, code: str, status: int, message: str, message_ko: str = "") -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status
        self.message = message
        self.message_ko = message_ko


@dataclass(frozen=True)
class GatewayAnswer:
    """A whole answer. `timings` are the platform's milliseconds by stage; `seen` are the caller's own.

    seen: {"first_token", "total"}, from sending the question to reading the first words and the end.
    """

    turn_id: str
    state: str
    answer: str
    sources: list[Source]
    refused: bool
    engine: str | None
    intent: str | None
    timings: dict[str, float]
    seen: dict[str, float]
    notices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RoutedText:
    """The intent of a text; `by` is rasa or fallback."""

    intent: str
    confidence: float
    by: str


class GatewayClient:
    """Calls the gateway with the service token. Every call raises `GatewayError` and nothing else."""

    def __init__(self, base_url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(CALL_TIMEOUT_SECONDS, read=STREAM_SILENCE_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        question: str,
        audience: Audience = "customer",
        as_of: date | None = None,
        locale: Locale = "ko",
        conversation: str | None = None,
        groups: Sequence[str] = (),
    ) -> GatewayAnswer:
        """Ask one question, in a new conversation unless one (a UUID) is named, and wait for the whole answer."""
        body = {
            "message_id": str(uuid4()),
            "conversation": conversation or str(uuid4()),
            "text": question,
            "locale": locale,
            "audience": audience,
            "groups": list(groups),
            "as_of": as_of.isoformat() if as_of else None,
        }
        collected = _Collected()
        with _as_gateway_errors():
            async with self._stream("/v1/chat", body) as response:
                async for name, data in _events_of(response):
                    collected.add(name, data)
        return collected.answer()

    async def route(self, text: str) -> RoutedText:
        """The intent of a text, which the gateway masks first."""
        with _as_gateway_errors():
            response = await self._http.post("/v1/route", json={"text": text})
            await _raise_for_refusal(response)
            return RoutedText(**response.json())

    async def ready(self) -> dict[str, Any]:
        """What `/health/ready` says, also while it says no: {"ready", "degraded", "parts"}."""
        with _as_gateway_errors():
            return dict((await self._http.get("/health/ready")).json())

    @asynccontextmanager
    async def _stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        async with self._http.stream("POST", path, json=body) as response:
            await _raise_for_refusal(response)
            yield response


class _Collected:
    """Gathers an answer's events; `answer` raises `GatewayError` if they ended in an error or not at all."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._words: list[str] = []
        self._sources: list[Source] = []
        self._notices: dict[str, str] = {}
        self._seen: dict[str, float] = {}
        self._done: dict[str, Any] | None = None

    def add(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "sources":
                self._sources = [Source(**source) for source in data["sources"]]
            case "notice":
                self._notices[data["code"]] = data["text"]
                if data["code"] == "answer_restated":
                    self._words.clear()
            case "token":
                self._seen.setdefault("first_token", self._elapsed())
                self._words.append(data["text"])
            case "done":
                self._seen["total"] = self._elapsed()
                self._done = data
            case "error":
                raise GatewayError(data["code"], 502, data["message"], data.get("message_ko", ""))

    def answer(self) -> GatewayAnswer:
        if self._done is None:
            raise GatewayError("answer_interrupted", 502, "the stream ended before the answer did")
        return GatewayAnswer(
            turn_id=self._done["turn_id"],
            state=self._done["state"],
            answer="".join(self._words),
            sources=self._sources,
            refused=self._done["refused"],
            engine=self._done["engine"],
            intent=self._done["intent"],
            timings=self._done["timings"],
            seen=self._seen,
            notices=self._notices,
        )

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)


async def _events_of(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    block: list[str] = []
    async for line in response.aiter_lines():
        if line:
            block.append(line)
            continue
        if (event := parse_event(block)) is not None:
            yield event.event, event.data
        block = []


@contextmanager
def _as_gateway_errors() -> Iterator[None]:
    # The cause is cut off: httpx's own messages carry URLs.
    try:
        yield
    except httpx.TimeoutException:
        raise GatewayError("gateway_timeout", 504, "the gateway did not answer in time") from None
    except httpx.HTTPError:
        raise GatewayError("gateway_unreachable", 503, "the gateway cannot be reached; see `haechi doctor`") from None


async def _raise_for_refusal(response: httpx.Response) -> None:
    if response.is_success:
        return
    await response.aread()
    try:
        error = response.json()["error"]
        raise GatewayError(error["code"], response.status_code, error["message"], error.get("message_ko", ""))
    except (ValueError, KeyError, TypeError):
        raise GatewayError(
            "unreadable_reply", response.status_code, "the gateway answered something that is not its protocol"
        ) from None
