"""What routes ask for by type: the service's parts, and the conversation the caller says a turn belongs to."""

from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import Field

from llm_service.answering.parts import Parts
from llm_service.client import CONVERSATION_HEADER, GROUP_PATTERN, MAXIMUM_GROUPS


# A coroutine although it waits for nothing: FastAPI calls plain functions on another thread.
async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


ServiceParts = Annotated[Parts, Depends(_parts)]
# Without the header no turn belongs to the caller: it is answered like an unknown turn.
ConversationId = Annotated[str, Header(alias=CONVERSATION_HEADER, default_factory=str)]
# What groups a person is in is said by the caller, who knows; names nobody gave a document open nothing.
Groups = Annotated[tuple[Annotated[str, Field(pattern=GROUP_PATTERN)], ...], Field(max_length=MAXIMUM_GROUPS)]
EVENT_ID_PATTERN = r"^[\x21-\x7e]{1,128}$"
