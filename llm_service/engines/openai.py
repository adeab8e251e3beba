"""OpenAI-compatible model servers as `ModelServer`: vLLM, SGLang, llama-server, and the development server.

What they do differently is a `Dialect`. Asked over plain HTTP: no client of a vendor that retries by itself, finds keys
or proxies in the environment, or calls home.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from llm_service.connections import WORTH_WAKING, StreamingTransport
from llm_service.engines.failures import Patience, failure_of, in_time, stream_cut, timed_out, unreachable
from llm_service.engines.gathering import Gathering, together
from llm_service.engines.model_server import Capabilities, Delta, Health, Prompt, PromptForm, Sampling, Usage
from llm_service.engines.stop_strings import until_stop
from llm_service.errors import HaechiError, Misconfigured, NotFound, Unavailable

HEALTH_SECONDS: Final = 3.0
LOAD_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Dialect:
    """What one server does differently. `model` and `adapter` are formats of the request's model field.

    `load` and `unload` are its routes, "" where there are none; `rejects_unknown` only where it was seen in its source.
    """

    name: str
    capabilities: Capabilities
    adapter: str = "{adapter}"
    load: str = ""
    unload: str = ""
    takes_adapters: bool = True


DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        # docs.vllm.ai/en/latest/features/lora.html; VLLM_ALLOW_RUNTIME_LORA_UPDATING=True opens the routes.
        Dialect("vllm", Capabilities(True, True, True), load="/v1/load_lora_adapter", unload="/v1/unload_lora_adapter"),
        Dialect(
            "devserver", Capabilities(True, True, True), load="/v1/load_lora_adapter", unload="/v1/unload_lora_adapter"
        ),
        # docs.sglang.ai/advanced_features/lora.html; how it answers an unknown adapter was not seen: taken for silent.
        Dialect(
            "sglang",
            Capabilities(True, False, False),
            adapter="{model}:{adapter}",
            load="/load_lora_adapter",
            unload="/unload_lora_adapter",
        ),
        # It reads over the model field, so a name would be answered silently by whatever was loaded: refused here.
        Dialect("llama-server", Capabilities(False, False, True), takes_adapters=False),
    )
}


class OpenAiServer:
    """One replica. `model` is the base model's name there; "" is asked for at `/v1/models` when it is first needed.

    `form` says whether prompts go rendered to /v1/completions or as messages to /v1/chat/completions: one of them
    throughout a deployment.
    """

    def __init__(
        self,
        address: str,
        dialect: Dialect,
        model: str = "",
        form: PromptForm = "text",
        patience: Patience | None = None,
    ) -> None:
        self.name = dialect.name
        self.address = address.rstrip("/")
        self.capabilities = dialect.capabilities
        self._dialect = dialect
        self._model = model
        self._form = form
        self._patience = patience or Patience()
        # Without a bound: the pool decides how many run; a second one here would be a queue that nobody sees.
        self._connections = StreamingTransport()
        self._http = httpx.AsyncClient(base_url=self.address, trust_env=False, transport=self._connections)

    def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        if adapter is not None and not self._dialect.takes_adapters:
            raise NotFound(
                "adapter_unknown", f"{self.name} is asked for no adapters; give it to the server at its start"
            )
        if sampling.ends is None:
            deltas = in_time(self._deltas(prompt, adapter, sampling, None), self._patience, sampling.seconds)
        else:
            gathering = Gathering(sampling.ends, asyncio.get_running_loop().time)
            read = self._deltas(prompt, adapter, sampling, gathering)
            deltas = in_time(read, self._patience, sampling.seconds, lambda: gathering.heard_at)
        return until_stop(deltas, sampling.stop)

    async def adapters(self) -> frozenset[str]:
        if not self.capabilities.lists_adapters:
            raise Misconfigured("engine_lists_no_adapters", f"{self.name} does not tell which adapters it holds")
        return frozenset(str(model["id"]) for model in await self._models() if model.get("parent"))

    async def activate(self, adapter: str, directory: str) -> None:
        await self._change(self._dialect.load, {"lora_name": adapter, "lora_path": directory}, None)

    async def deactivate(self, adapter: str) -> None:
        await self._change(self._dialect.unload, {"lora_name": adapter}, adapter)

    async def health(self) -> Health:
        reply = await self._ask("GET", "/health", None, HEALTH_SECONDS)
        models = await self._models()
        base = next((model for model in models if not model.get("parent")), {})
        return Health(reply.is_success, str(base.get("id", "")), str(base.get("owned_by", "")))

    async def close(self) -> None:
        await self._http.aclose()

    async def _change(self, route: str, body: dict[str, Any], adapter: str | None) -> None:
        if not route:
            raise Misconfigured("engine_loads_no_adapters", f"{self.name} loads and drops adapters at its start only")
        reply = await self._ask("POST", route, body, LOAD_SECONDS)
        if not reply.is_success:
            raise failure_of(reply.status_code, adapter)

    async def _models(self) -> list[dict[str, Any]]:
        reply = await self._ask("GET", "/v1/models", None, HEALTH_SECONDS)
        if not reply.is_success:
            raise failure_of(reply.status_code, None)
        listed: list[dict[str, Any]] = reply.json()["data"]
        return listed

    async def _ask(self, method: str, route: str, body: dict[str, Any] | None, seconds: float) -> httpx.Response:
        timeout = httpx.Timeout(seconds, connect=self._patience.connect_seconds)
        try:
            return await self._http.request(method, route, json=body, timeout=timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self.address) from error
        except httpx.TimeoutException as error:
            raise timed_out("to reply") from error
        except httpx.TransportError as error:
            raise Unavailable("engine_failed", "the connection to the model server failed") from error

    async def _base_model(self) -> str:
        if not self._model:
            self._model = next((str(model["id"]) for model in await self._models() if not model.get("parent")), "")
        return self._model

    async def _deltas(
        self, prompt: Prompt, adapter: str | None, sampling: Sampling, gathering: Gathering | None
    ) -> AsyncIterator[Delta]:
        base = await self._base_model()
        model = base if adapter is None else self._dialect.adapter.format(model=base, adapter=adapter)
        request = self._request(*_asked(prompt, self._form, model, sampling))
        if gathering is not None:
            request.extensions[WORTH_WAKING] = gathering
        try:
            # Not through httpx's client: what it does for every piece of a stream is of no use here, and costs.
            response = await self._connections.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            try:
                if not response.is_success:
                    raise failure_of(response.status_code, adapter)
                reading = _Events(adapter)
                async for piece in response.stream:
                    said = reading.feed(piece)
                    for delta in said if gathering is None else together(said):
                        yield delta
                    if reading.is_done:
                        break
                reading.end()
            finally:
                await response.stream.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self.address) from error
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise stream_cut() from error
        except httpx.TransportError as error:
            raise Unavailable("engine_failed", "the connection to the model server failed") from error

    def _request(self, route: str, body: dict[str, Any]) -> httpx.Request:
        return httpx.Request(
            "POST",
            f"{self.address}{route}",
            headers={"Content-Type": "application/json"},
            content=json.dumps(body, ensure_ascii=False).encode(),
            extensions={"timeout": {"connect": self._patience.connect_seconds}},
        )


def _asked(prompt: Prompt, form: PromptForm, model: str, sampling: Sampling) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.maximum_tokens,
        "temperature": sampling.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if form == "text":
        return "/v1/completions", {**body, "prompt": prompt.text}
    messages = [{"role": role, "content": content} for role, content in prompt.messages]
    return "/v1/chat/completions", {**body, "messages": messages}


class _Events:
    """Reads an event stream piece by piece; the usage, which servers send last, goes with the end of the text."""

    def __init__(self, adapter: str | None) -> None:
        self.is_done = False
        self._adapter = adapter
        self._finish: str | None = None
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[Delta]:
        """The deltas of the events that are whole. Lines end with a line feed only: JSON may hold other separators."""
        *lines, self._held = (self._held + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                self.is_done = True
                return
            yield from self._deltas(_parsed(data))

    def end(self) -> None:
        """Raises `Unavailable` (engine_stream_cut) where the stream ended before its text did."""
        if self._finish is None:
            raise stream_cut()

    def _deltas(self, event: dict[str, Any]) -> Iterator[Delta]:
        if "error" in event:
            raise _told(event["error"], self._adapter)
        for choice in event.get("choices") or ():
            self._finish = choice.get("finish_reason") or self._finish
            text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            if text:
                yield Delta(text)
        if self._finish is not None and (usage := event.get("usage")):
            counted = usage["prompt_tokens"], usage["completion_tokens"]
            yield Delta("", Usage(*counted, "length" if self._finish == "length" else "stop"))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        # Decoded here: `json` would first guess the encoding, of each event anew.
        event: dict[str, Any] = json.loads(line.decode())
    except ValueError as error:
        raise stream_cut() from error
    return event


def _told(error: Any, adapter: str | None) -> HaechiError:
    """An error inside a stream whose status was 200 already."""
    status = error.get("code") if isinstance(error, dict) else None
    return failure_of(status if isinstance(status, int) else httpx.codes.INTERNAL_SERVER_ERROR, adapter)
