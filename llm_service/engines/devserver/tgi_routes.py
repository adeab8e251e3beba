"""The routes of Text Generation Inference 3.3.7 that clients use, as its router answers them.

Source: huggingface/text-generation-inference, router/src/{server,lib,infer}.rs at v3.3.7. Stop strings stay in the text
and the beginning mark is added to every prompt, as there.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import generate_latest
from pydantic import BaseModel, Field

from llm_service.engines.devserver.orders import Ending, Order, Piece
from llm_service.engines.devserver.serving import Serving
from llm_service.errors import HaechiError, NotFound

STAND_IN: Final = "development server, a stand-in for TGI and vLLM"
MAXIMUM_STOPS: Final = 4
BASE_NAMES: Final = frozenset({"tgi"})
FINISH: Final = {"length": "length", "mark": "eos_token", "string": "stop_sequence"}
STATUSES: Final = {"adapter_unknown": 404, "engine_overloaded": 429, "prompt_too_long": 422, "engine_failed": 424}
ERROR_TYPES: Final = {404: "NotFoundError", 422: "validation", 424: "generation", 429: "overloaded"}

router = APIRouter()


class Parameters(BaseModel):
    """TGI's GenerateParameters, as far as they are obeyed here; others are read over."""

    adapter_id: str | None = None
    max_new_tokens: int = Field(100, ge=1)
    temperature: float | None = Field(None, gt=0)
    do_sample: bool = False
    stop: list[str] = Field(default_factory=list, max_length=MAXIMUM_STOPS)
    seed: int | None = Field(None, ge=0)
    details: bool = False


class GenerateBody(BaseModel):
    inputs: str = Field(min_length=1)
    parameters: Parameters = Field(default_factory=Parameters)
    stream: bool = False


def _serving(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


Served = Annotated[Serving, Depends(_serving)]


@router.get("/health")
@router.get("/ping")
async def health(serving: Served) -> Response:
    if serving.writer.is_well():
        return Response(status_code=200)
    return JSONResponse({"error": "unhealthy", "error_type": "healthcheck"}, 503)


@router.get("/info")
async def info(serving: Served) -> dict[str, Any]:
    """TGI lists no adapters here, and neither does this."""
    return {
        "model_id": serving.writer.model_id,
        "model_sha": None,
        "max_input_tokens": serving.writer.longest_sequence - 1,
        "max_total_tokens": serving.writer.longest_sequence,
        "max_stop_sequences": MAXIMUM_STOPS,
        "router": "haechi-devserver",
        "version": "3.3.7",
        "docker_label": STAND_IN,
    }


@router.get("/metrics")
async def metrics(serving: Served) -> PlainTextResponse:
    return PlainTextResponse(generate_latest(serving.registry))


@router.post("/")
async def generate_either(body: GenerateBody, request: Request, serving: Served) -> Response:
    """TGI's compatibility route: streams if asked to, else answers with a list of one."""
    return await (generate_stream if body.stream else _generate_list)(body, request, serving)


async def _generate_list(body: GenerateBody, request: Request, serving: Serving) -> Response:
    return JSONResponse([await _generated(body, request, serving)])


@router.post("/generate")
async def generate(body: GenerateBody, request: Request, serving: Served) -> Response:
    return JSONResponse(await _generated(body, request, serving))


@router.post("/generate_stream")
async def generate_stream(body: GenerateBody, request: Request, serving: Served) -> Response:
    pieces = serving.pieces(request, _order(body, serving))
    # The first piece decides the status: a refused order must not begin a stream.
    first = await anext(pieces, None)
    return StreamingResponse(_events(first, pieces, body), media_type="text/event-stream")


async def _generated(body: GenerateBody, request: Request, serving: Serving) -> dict[str, Any]:
    text, ending = "", None
    async with aclosing(serving.pieces(request, _order(body, serving))) as pieces:
        async for piece in pieces:
            text, ending = text + piece.text, piece.ending
    details = {**_details(ending, body), "prefill": [], "tokens": []} if ending is not None else None
    return {"generated_text": text, **({"details": details} if body.parameters.details else {})}


async def _events(
    first: Piece | None, pieces: AsyncGenerator[Piece, None], body: GenerateBody
) -> AsyncGenerator[str, None]:
    index, text = 0, ""
    async with aclosing(pieces):
        piece = first
        while piece is not None:
            index, text = index + 1, text + piece.text
            ending = piece.ending
            is_special = ending is not None and ending.reason == "mark"
            token = {"id": piece.token, "text": piece.text, "logprob": 0.0, "special": is_special}
            whole = {"generated_text": text, "details": _details(ending, body)} if ending is not None else {}
            yield _event({"index": index, "token": token, "generated_text": None, "details": None, **whole})
            try:
                piece = await anext(pieces, None)
            except HaechiError as error:
                yield _event(_error_body(error))
                return


def _details(ending: Ending, body: GenerateBody) -> dict[str, Any]:
    return {
        "finish_reason": FINISH[ending.reason],
        "generated_tokens": ending.answer_tokens,
        "input_length": ending.prompt_tokens,
        "seed": body.parameters.seed,
    }


def _event(body: dict[str, Any]) -> str:
    return f"data:{json.dumps(body, ensure_ascii=False)}\n\n"


def _order(body: GenerateBody, serving: Serving) -> Order:
    asked = body.parameters
    return Order(
        prompt=body.inputs,
        adapter=serving.adapter(asked.adapter_id, BASE_NAMES | {serving.writer.model_id}),
        maximum_tokens=asked.max_new_tokens,
        # TGI samples if a temperature is given or sampling is asked for.
        temperature=asked.temperature or (1.0 if asked.do_sample else 0.0),
        stop=tuple(asked.stop),
        seed=asked.seed or 0,
    )


def error_reply(error: HaechiError) -> JSONResponse:
    """TGI's way of saying an error; an unknown adapter, which TGI does not have, reads as vLLM says it."""
    return JSONResponse(_error_body(error), STATUSES.get(error.code, 500))


def _error_body(error: HaechiError) -> dict[str, Any]:
    kind = ERROR_TYPES.get(STATUSES.get(error.code, 500), "generation")
    return {
        "error": "The adapter does not exist." if isinstance(error, NotFound) else error.message,
        "error_type": kind,
    }
