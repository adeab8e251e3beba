"""Prompts whose recorded answers show which adapter answers, asked of one model server.

A status of 200 proves nothing: TGI answers an unknown adapter from the base model. What proves it is text that the
evaluation recorded from this adapter, and that the base does not write.
"""

import hashlib
import unicodedata
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal, cast

from llm_service.engines.model_server import Delta, ModelServer, Prompt, Sampling
from llm_service.errors import InvalidInput
from llm_service.masked import MaskedText
from llm_service.store.adapters import RecordedProbe

PROBE_SECONDS: Final = 30.0
MATCHING_SHARE: Final = 0.5
"""Share of a version's probes that must be answered as recorded. Not all: servers round differently, so a greedy answer
may take another turn; a wrong adapter or the base gives none of them."""

Verdict = Literal["answers", "answers_as_base", "answers_otherwise"]


@dataclass(frozen=True)
class ProbeResult:
    """`matched` of `asked` probes were answered as recorded."""

    verdict: Verdict
    matched: int
    asked: int


def answer_sha256(answer: str) -> str:
    """The hash by which answers are compared: Unicode in one form (NFC), blanks at both ends disregarded."""
    return hashlib.sha256(unicodedata.normalize("NFC", answer).strip().encode()).hexdigest()


async def examine(server: ModelServer, adapter: str, probes: Sequence[RecordedProbe]) -> ProbeResult:
    """Whether the server answers as this adapter did when it was evaluated. Raises what the server raises."""
    answers = [answer_sha256(await ask(server, probe, adapter)) for probe in probes]
    matching = [place for place, probe in enumerate(probes) if answers[place] == probe.answer_sha256]
    if len(matching) >= len(probes) * MATCHING_SHARE and matching:
        # The base of this very server must differ too, or the match says nothing.
        first = matching[0]
        if answer_sha256(await ask(server, probes[first], None)) != answers[first]:
            return ProbeResult("answers", len(matching), len(probes))
        return ProbeResult("answers_as_base", 0, len(probes))
    as_base = sum(answers[place] == probe.base_answer_sha256 for place, probe in enumerate(probes))
    verdict: Verdict = "answers_as_base" if as_base > len(matching) else "answers_otherwise"
    return ProbeResult(verdict, len(matching), len(probes))


async def record(
    server: ModelServer, adapter: str, prompts: Sequence[Prompt], maximum_tokens: int
) -> list[RecordedProbe]:
    """Probes out of the prompts whose answers by adapter and base differ; for the evaluation of a new version.

    Prompts are masked text with at most one system message before the one user message.
    Raises `InvalidInput` (adapter_probe_missing) if the adapter answers every prompt as its base does.
    """
    recorded: list[RecordedProbe] = []
    for prompt in prompts:
        contents = dict(prompt.messages)
        blank = RecordedProbe(
            prompt=MaskedText(prompt.text),
            system=MaskedText(contents.get("system", "")),
            user=MaskedText(contents["user"]),
            maximum_tokens=maximum_tokens,
            answer_sha256="",
            base_answer_sha256="",
        )
        by_adapter = answer_sha256(await ask(server, blank, adapter))
        by_base = answer_sha256(await ask(server, blank, None))
        if by_adapter != by_base:
            recorded.append(RecordedProbe(blank.prompt, blank.system, blank.user, maximum_tokens, by_adapter, by_base))
    if not recorded:
        raise InvalidInput("adapter_probe_missing", "the adapter answers every probe as its base does")
    return recorded


async def ask(server: ModelServer, probe: RecordedProbe, adapter: str | None) -> str:
    """The whole greedy answer to a probe."""
    messages = ((("system", str(probe.system)),) if probe.system else ()) + (("user", str(probe.user)),)
    sampling = Sampling(maximum_tokens=probe.maximum_tokens, temperature=0.0, seconds=PROBE_SECONDS)
    stream = server.stream(Prompt(probe.prompt, messages), adapter, sampling)
    async with aclosing(cast("AsyncGenerator[Delta, None]", stream)) as deltas:
        return "".join([delta.text async for delta in deltas])
