"""A server of the bank's that runs a model (embeddings, re-ranking), asked in JSON under limits of time and size.

Knows neither dialect nor meaning of what is asked; whoever asks decides how to go on without an answer.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

import httpx

from llm_service.errors import Unavailable

REST_SECONDS: Final = 10.0
"""How long a server that failed is left alone by questions: each would otherwise wait for it in vain."""
MAXIMUM_REPLY_BYTES: Final = 64 * 1024 * 1024
ATTEMPTS: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.5
BUSY: Final = frozenset((429, 503))


class InferenceServer:
    """One address. May be used from several threads.

    `setting` is named in errors, which carry no text: codes are inference_timeout, inference_unreachable,
    inference_busy, inference_refused, inference_reply and inference_resting.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        setting: str,
        *,
        maximum_reply_bytes: int = MAXIMUM_REPLY_BYTES,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(base_url=url.rstrip("/") + "/", headers=headers)
        self._setting = setting
        self._maximum_reply_bytes = maximum_reply_bytes
        self._pause = pause
        self._clock = clock
        self._rests_until = -math.inf
        self._lock = Lock()

    def ask(self, path: str, body: Mapping[str, object] | None, seconds: float) -> Any:
        """The reply to a POST (a GET without a body) within so many seconds in all.

        Raises `Unavailable`; after that the server rests, and is said to be gone without being asked.
        """
        with self._lock:
            if self._clock() < self._rests_until:
                raise self._gone("inference_resting")
        try:
            return self._exchange(path, body, seconds)
        except Unavailable:
            with self._lock:
                self._rests_until = self._clock() + REST_SECONDS
            raise

    def ask_patiently(self, path: str, body: Mapping[str, object] | None, seconds: float) -> Any:
        """As `ask`, for work nobody waits for: asked again, with growing pauses, while it is busy; it never rests."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._exchange(path, body, seconds)
            except Unavailable as gone:
                if gone.code != "inference_busy":
                    raise
            self._pause(FIRST_PAUSE_SECONDS * 2**attempt)
        return self._exchange(path, body, seconds)

    def close(self) -> None:
        self._client.close()

    def _exchange(self, path: str, body: Mapping[str, object] | None, seconds: float) -> Any:
        deadline = self._clock() + seconds
        method = "GET" if body is None else "POST"
        try:
            with self._client.stream(method, path, json=body, timeout=seconds) as response:
                content = self._read(response, deadline)
                status = response.status_code
        except httpx.TimeoutException:
            raise self._gone("inference_timeout") from None
        except httpx.HTTPError:
            raise self._gone("inference_unreachable") from None
        if status in BUSY:
            raise self._gone("inference_busy")
        if status != httpx.codes.OK:
            raise self._gone("inference_refused", f"status {status}")
        try:
            reply = json.loads(content)
        except ValueError:
            raise self._gone("inference_reply", "no JSON") from None
        with self._lock:
            self._rests_until = -math.inf
        return reply

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        # httpx limits the wait for each piece only: a server that drips would hold a question for ever.
        received = bytearray()
        for piece in response.iter_bytes():
            received += piece
            if len(received) > self._maximum_reply_bytes:
                raise self._gone("inference_reply", f"more than {self._maximum_reply_bytes} bytes")
            if self._clock() > deadline:
                raise self._gone("inference_timeout")
        return bytes(received)

    def _gone(self, code: str, detail: str = "") -> Unavailable:
        told = f" ({detail})" if detail else ""
        return Unavailable(code, f"the server of {self._setting} gave no usable answer{told}; check it")


def malformed(setting: str) -> Unavailable:
    """A reply that is JSON, but not what the dialect promises."""
    return Unavailable("inference_reply", f"the server of {setting} answers in another form than its dialect's")
