"""The OpenAI-compatible routes as vLLM 0.33 answers them, with its routes that load and unload adapters.

Source: vllm-project/vllm, vllm/entrypoints/openai (serving_models.py, protocol.py) and docs/features/lora.md. Where TGI
is imitated, adapters are neither listed nor loaded, since TGI does neither.
"""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal, cast
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from llm_service.engines.devserver.orders import Ending, Order, Piece
from llm_service.engines.devserver.serving import Serving
from llm_service.engines.devserver.tgi_routes import BASE_NAMES, STAND_IN
from llm_service.engines.stop_strings import StopScanner
from llm_service.errors import HaechiError

STATUSES: Final = {
    "adapter_unknown": 404,
    "adapter_directory_missing": 404,
    "adapter_loaded": 400,
    "adapter_invalid": 400,
    "prompt_too_long": 400,
    "engine_overloaded": 429,
}
ERROR_TYPES: Final = {400: "BadRequestError", 404: "NotFoundError", 429: "TooManyRequestsError"}

router = APIRouter(prefix="/v1")


class StreamOptions(BaseModel):
    include_usage: bool = False


class AskedFor(BaseModel):
    """What completions and chat completions share."""

    model: str = ""
    temperature: float | None = Field(None, ge=0)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=0)
    stream: bool = False
    stream_options: StreamOptions | None = None


class CompletionBody(AskedFor):
    prompt: str = Field(min_length=1)
    max_tokens: int = Field(16, ge=1)


class ChatMessage(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(AskedFor):
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)


class LoadBody(BaseModel):
    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)


class UnloadBody(BaseModel):
    lora_name: str = Field(min_length=1)


def _serving(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


Served = Annotated[Serving, Depends(_serving)]


@router.get("/models")
async def models(serving: Served) -> dict[str, Any]:
    base = serving.writer.model_id
    adapters = {} if serving.is_silent_base else serving.writer.adapters()
    listed = [_model(base, base, None), *(_model(name, directory, base) for name, directory in adapters.items())]
    return {"object": "list", "data": listed}


@router.post("/load_lora_adapter")
async def load(body: LoadBody, serving: Served) -> Response:
    if serving.is_silent_base:
        return Response(status_code=404)
    await serving.writer.load(body.lora_name, body.lora_path)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/unload_lora_adapter")
async def unload(body: UnloadBody, serving: Served) -> Response:
    if serving.is_silent_base:
        return Response(status_code=404)
    await serving.writer.unload(body.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


@router.post("/completions")
async def complete(body: CompletionBody, request: Request, serving: Served) -> Response:
    return await _reply(body, _order(body, body.prompt, body.max_tokens, serving), request, serving)


@router.post("/chat/completions")
async def chat(body: ChatBody, request: Request, serving: Served) -> Response:
    messages = tuple((message.role, message.content) for message in body.messages)
    maximum = body.max_completion_tokens or body.max_tokens or 1024
    return await _reply(body, _order(body, messages, maximum, serving), request, serving)


async def _reply(body: AskedFor, order: Order, request: Request, serving: Serving) -> Response:
    pieces = serving.pieces(request, order)
    form = _Form(body, isinstance(body, ChatBody))
    if body.stream:
        # The first piece decides the status: a refused order must not begin a stream.
        first = await anext(pieces, None)
        return StreamingResponse(_events(first, pieces, order, form), media_type="text/event-stream")
    text, ending = "", None
    scanner = StopScanner(order.stop)
    async with aclosing(pieces):
        async for piece in pieces:
            text, ending = text + scanner.feed(piece.text), piece.ending
    return JSONResponse(form.whole(text + scanner.flush(), ending))


async def _events(
    first: Piece | None, pieces: AsyncGenerator[Piece, None], order: Order, form: "_Form"
) -> AsyncGenerator[str, None]:
    scanner = StopScanner(order.stop)
    async with aclosing(pieces):
        piece, ending = first, None
        while piece is not None:
            ending = piece.ending
            text = scanner.feed(piece.text) + (scanner.flush() if ending is not None else "")
            if text or ending is not None:
                yield _event(form.chunk(text, ending))
            try:
                piece = await anext(pieces, None)
            except HaechiError as error:
                yield _event(_error_body(error))
                return
    if ending is not None:
        if form.tells_usage:
            yield _event(form.usage_chunk(ending))
        yield "data: [DONE]\n\n"


class _Form:
    """How one reply looks, as completion or as chat."""

    def __init__(self, body: AskedFor, is_chat: bool) -> None:
        self.tells_usage = body.stream_options is not None and body.stream_options.include_usage
        self._is_chat = is_chat
        self._head = {"id": f"cmpl-{uuid4().hex}", "created": int(time.time()), "model": body.model}

    def whole(self, text: str, ending: Ending | None) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self._is_chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": _finish(ending)}
        kind = "chat.completion" if self._is_chat else "text_completion"
        return {**self._head, "object": kind, "choices": [choice], "usage": _usage(ending)}

    def chunk(self, text: str, ending: Ending | None) -> dict[str, Any]:
        said = {"delta": {"role": "assistant", "content": text}} if self._is_chat else {"text": text}
        return self._chunk([{"index": 0, **said, "finish_reason": _finish(ending)}])

    def usage_chunk(self, ending: Ending) -> dict[str, Any]:
        return {**self._chunk([]), "usage": _usage(ending)}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        return {**self._head, "object": kind, "choices": choices}


def _order(body: AskedFor, prompt: str | tuple[tuple[str, str], ...], maximum: int, serving: Serving) -> Order:
    return Order(
        prompt=prompt,
        adapter=serving.adapter(body.model, BASE_NAMES | {serving.writer.model_id}),
        maximum_tokens=maximum,
        temperature=1.0 if body.temperature is None else body.temperature,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        seed=body.seed or 0,
    )


def _model(name: str, root: str, parent: str | None) -> dict[str, Any]:
    created = int(time.time())
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": STAND_IN,
        "root": root,
        "parent": parent,
    }


def _finish(ending: Ending | None) -> str | None:
    if ending is None:
        return None
    return "length" if ending.reason == "length" else "stop"


def _usage(ending: Ending | None) -> dict[str, int]:
    asked, said = (ending.prompt_tokens, ending.answer_tokens) if ending is not None else (0, 0)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


async def error_reply(request: Request, error: HaechiError) -> JSONResponse:
    """vLLM's way of saying an error, with its words for an unknown model."""
    return JSONResponse(_error_body(error, await _asked_name(request)), STATUSES.get(error.code, 500))


def _error_body(error: HaechiError, name: str = "") -> dict[str, Any]:
    status = STATUSES.get(error.code, 500)
    message = error.message
    if error.code == "adapter_unknown":
        message = f"The model `{name}` does not exist."
    kind = ERROR_TYPES.get(status, "InternalServerError")
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


async def _asked_name(request: Request) -> str:
    """The model's or adapter's name in the body, for the error that repeats it; it is a name, not a person's words."""
    body = cast("dict[str, Any]", json.loads(await request.body()))
    return str(body.get("model") or body.get("lora_name") or "")
