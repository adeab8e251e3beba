"""Renders the one prompt that serving asks with and training learns from; its words stand in `prompt.yaml`.

Knows no tokenizer (counting is handed in), no engine and no dataset. The same request gives the same bytes.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import yaml

from llm_service.answering.citations import without_placeholders
from llm_service.answering.evidence import bigrams_of
from llm_service.engines.base import EngineRequest
from llm_service.errors import TooLarge
from llm_service.retrieval.candidate import Candidate

# Spotlighting by data marking (Hines et al. 2024, arXiv 2403.14720): every line of foreign text carries this mark, so
# nothing inside it can pass for a line of ours.
DATA_MARK: Final = "▏"
HISTORY_SHARE: Final = 0.2
SHORTEST_PASSAGE_TOKENS: Final = 32

CountTokens = Callable[[str], int]

# Markers of the chat forms a served model may know: Mistral, Llama 2 and 3, ChatML, Gemma, tool calls, reasoning. The
# brackets may be full-width and the name spaced out: some tokenizers fold both. Placeholders are none of them.
_CONTROL_TOKEN: Final = re.compile(
    r"[\[［]\s*(/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|gMASK))\s*[\]］]"
    r"|[<＜]\s*(/?\s*(?:s|unk|pad|bos|eos|mask|system|user|assistant|think|tools?|tool_call|tool_response|function_calls?"
    r"|start_of_turn|end_of_turn|im_start|im_end|endoftext))\s*[>＞]"
    r"|[<＜]\s*[|｜]([^<>|＜＞｜]{1,40})[|｜]\s*[>＞]"
    r"|[<＜]{2}\s*(/?\s*SYS)\s*[>＞]{2}",
    re.IGNORECASE,
)
_INVISIBLE: Final = re.compile(
    r"[\u00AD\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\U000E0000-\U000E007F]"
)
_CITATION_LIKE: Final = re.compile(r"\[(\d[\d, ]{0,20})\]")
_LINE_BREAK: Final = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True)
class Message:
    """One turn of a chat. `content` of the system message is the same in every prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class PromptBudget:
    """How long a prompt may be, in tokens as `count` counts them; the answer's tokens are not part of it."""

    prompt_tokens: int
    count: CountTokens


def render_messages(request: EngineRequest, budget: PromptBudget) -> tuple[Message, ...]:
    """System and user message. Passages are kept from the best on, then, of what was said before, the newest and what
    shares words with the question, line by line.

    Passages keep their numbers: [n] is `request.passages[n - 1]`. Raises `TooLarge` (prompt_too_long) if not even the
    question fits beside the instructions.
    """
    words = _words()
    asked = _on_one_line(request.question)
    question = f"{words['question_open']}\n{asked}\n\n{words['answer_language'][request.locale]}"
    blanks = budget.count("\n\n") * (len(request.passages) + 2)
    room = budget.prompt_tokens - budget.count(words["system"]) - budget.count(question) - blanks
    if room < 0:
        raise TooLarge("prompt_too_long", "the question does not fit into the prompt; ask in fewer words")
    passages = _passages_that_fit(request.passages, room, budget.count)
    room -= sum(budget.count(block) for block in passages)
    room = min(room, int(budget.prompt_tokens * HISTORY_SHARE))
    history = _history_that_fits(request.history, bigrams_of(request.question), room, budget.count)
    user = "\n\n".join((*passages, *history, question))
    return Message("system", words["system"]), Message("user", user)


def question_in(content: str) -> str:
    """The question alone out of a user message of `render_messages`; any other text is its own question."""
    opening = f"{_words()['question_open']}\n"
    _, found, asked = f"\n\n{content}".rpartition(f"\n\n{opening}")
    for language in _words()["answer_language"].values():
        if found and asked.endswith(f"\n\n{language}"):
            return asked.removesuffix(f"\n\n{language}")
    return content


def rewrite_messages(messages: tuple[Message, ...], statement: str, failures: Sequence[str]) -> tuple[Message, ...]:
    """The chat so far with a statement that did not pass, and the request to write it anew; the beginning stays.

    `failures` are the verifier's codes: they are said as they are, since models read them and people do not.
    """
    asked = str(_words()["rewrite"]).format(failures=", ".join(failures))
    return (*messages, Message("assistant", _neutral(statement).strip()), Message("user", asked))


def render_mistral(messages: Sequence[Message]) -> str:
    """The messages in Mistral's chat form, without the leading <s>, which servers add themselves.

    Mistral 7B knows no system role: the instructions open the first [INST] (Mistral AI, "Tokenization" guide). With an
    assistant message at the end the result is a training text, whose beginning is, byte for byte, the serving prompt.
    """
    rendered: list[str] = []
    opening = ""
    for message in messages:
        if message.role == "system":
            opening = f"{message.content}\n\n"
        elif message.role == "user":
            rendered.append(f"[INST] {opening}{message.content} [/INST]")
            opening = ""
        else:
            rendered.append(f" {message.content}</s>")
    return "".join(rendered)


def prompt_hash(messages: Iterable[Message]) -> str:
    """SHA-256 of a prompt, for explaining an answer without keeping the prompt."""
    digest = hashlib.sha256()
    for message in messages:
        digest.update(f"{message.role}\0{message.content}\0".encode())
    return digest.hexdigest()


def instructions() -> str:
    """The system message: the same in every prompt."""
    return str(_words()["system"])


def canary() -> str:
    """The mark that only the instructions hold; text of others that holds it is shown and written without it."""
    return str(_words()["canary"])


def _passages_that_fit(passages: Sequence[Candidate], room: int, count: CountTokens) -> list[str]:
    blocks: list[str] = []
    for number, passage in enumerate(passages, start=1):
        block = _shortened(number, passage, room, count)
        if block is None:
            break
        blocks.append(block)
        room -= count(block)
    return blocks


def _shortened(number: int, passage: Candidate, room: int, count: CountTokens) -> str | None:
    """The passage with as many of its lines as fit, from the first on; None if hardly anything would be left."""
    head = _words()["passage_open"].format(number=number, label=_on_one_line(passage.label))
    lines = _marked(without_placeholders(passage).text)
    whole = "\n".join((head, *lines))
    if count(whole) <= room:
        return whole
    kept, fits = [head], count(head)
    for line in lines:
        fits += count(f"\n{line}")
        if fits > room:
            break
        kept.append(line)
    return "\n".join(kept) if len(kept) > 1 and room >= SHORTEST_PASSAGE_TOKENS else None


def _history_that_fits(history: Sequence[str], asked: frozenset[str], room: int, count: CountTokens) -> list[str]:
    """One block with what was said before, oldest first, cut to its most useful lines; no block if none fits.

    The newest text goes first, from its first line on, since a follow-up hangs on it; then the lines that share most
    letter pairs with the question, newer ones before older. The same history and budget give the same lines.
    """
    head = _words()["history_open"]
    room -= count(head)
    newest = len(history) - 1
    lines = [(turn, place, line) for turn, text in enumerate(history) for place, line in enumerate(_marked(text))]
    kept: list[tuple[int, int, str]] = []
    for entry in sorted(lines, key=lambda entry: _usefulness(entry, newest, asked)):
        needed = count(f"\n{entry[2]}")
        if needed <= room:
            kept.append(entry)
            room -= needed
    return ["\n".join((head, *(line for _, _, line in sorted(kept))))] if kept else []


def _usefulness(entry: tuple[int, int, str], newest: int, asked: frozenset[str]) -> tuple[bool, int, int, int]:
    """Sorts lines of the history, the most useful first."""
    turn, place, line = entry
    shared = 0 if turn == newest else len(asked & bigrams_of(line))
    return turn != newest, -shared, -turn, place


def _marked(text: str) -> list[str]:
    """Foreign text line by line behind the data mark, without anything that reads as ours."""
    plain = _LINE_BREAK.sub("\n", _CITATION_LIKE.sub(r"(\1)", _neutral(text)))
    return [f"{DATA_MARK} {line}" for line in plain.split("\n") if line.strip()]


def _on_one_line(text: str) -> str:
    """Foreign text that stands outside the data mark: without line breaks it cannot begin a line of ours."""
    return " ".join(_neutral(text).split())


def _neutral(text: str) -> str:
    """The text with tokens that would steer a model (chat markers, end of text, our own marks) taken apart.

    Invisible characters go first: inside a marker they would hide it here and vanish in a tokenizer.
    """
    visible = _INVISIBLE.sub("", text)
    unmarked = re.sub(re.escape(canary()), "", visible.replace(DATA_MARK, "|"), flags=re.IGNORECASE)
    return _CONTROL_TOKEN.sub(lambda token: f"({next(filter(None, token.groups()))})", unmarked)


@cache
def _words() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath("prompt.yaml").read_text(encoding="utf-8"))
    return {**loaded, "system": str(loaded["system"]).format(canary=loaded["canary"])}
