"""Who is evaluated: the base or an adapter, run in this process or on a server. Knows no score."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from llm_service.answering.prompt import Message, render_mistral
from llm_service.engines.model_server import Delta, ModelServer, Prompt, PromptForm, Sampling
from llm_service.errors import Misconfigured
from trainer.base_model import WHOLE_BASE, load_base, load_tokenizer
from trainer.encoding import IGNORED, encode, prompt_ids
from trainer.recipe import Quantisation

BATCH: Final = 8


@dataclass(frozen=True)
class Asked:
    """A prompt and how long its answer may be, in tokens."""

    messages: tuple[Message, ...]
    maximum_tokens: int


@dataclass(frozen=True)
class Likelihood:
    """The log-probability of an answer with its end, and how many characters it has."""

    log_probability: float
    characters: int

    @property
    def by_character(self) -> float:
        return self.log_probability / max(self.characters, 1)


class Subject(Protocol):
    """Answers greedily, in the order asked. `likelihoods` raises `Misconfigured` where a server cannot tell them."""

    def answers(self, asked: Sequence[Asked]) -> list[str]: ...

    def likelihoods(self, messages: Sequence[Message], choices: Sequence[str]) -> list[Likelihood]: ...


class LocalModel:
    """A base with any number of adapters, loaded once in this process, on the GPU if there is one."""

    def __init__(
        self,
        base_dir: Path,
        adapters: Mapping[str, Path],
        form: PromptForm = "text",
        quantisation: Quantisation = WHOLE_BASE,
    ) -> None:
        """`adapters` maps names to directories. Raises `NotFound` (base_missing)."""
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(base_dir)
        self.form = form
        self.model: Any = load_base(base_dir, quantisation)
        for name, directory in adapters.items():
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(str(directory), adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, str(directory), adapter_name=name)
        self.model.eval()

    def subject(self, adapter: str | None) -> "LocalSubject":
        """The base (None) or one of the adapters, to be asked."""
        return LocalSubject(self, adapter)

    @contextmanager
    def speaking_as(self, adapter: str | None) -> Iterator[Any]:
        """The model with one adapter, or with none."""
        if not isinstance(self.model, PeftModel):
            yield self.model
        elif adapter is None:
            with self.model.disable_adapter():
                yield self.model
        else:
            self.model.set_adapter(adapter)
            yield self.model


class LocalSubject:
    """One adapter of a `LocalModel`, or its base."""

    def __init__(self, local: LocalModel, adapter: str | None) -> None:
        self._local = local
        self._adapter = adapter

    def answers(self, asked: Sequence[Asked]) -> list[str]:
        """Greedy answers, in the order asked; prompts of like length are read together."""
        ids = [prompt_ids(self._local.tokenizer, one.messages, self._local.form) for one in asked]
        order = sorted(range(len(asked)), key=lambda place: len(ids[place]))
        told: dict[int, str] = {}
        with self._local.speaking_as(self._adapter) as model, torch.inference_mode():
            for start in range(0, len(order), BATCH):
                places = order[start : start + BATCH]
                longest = max(asked[place].maximum_tokens for place in places)
                for place, text in zip(places, self._generate(model, [ids[p] for p in places], longest), strict=True):
                    told[place] = text
        return [told[place] for place in range(len(asked))]

    def likelihoods(self, messages: Sequence[Message], choices: Sequence[str]) -> list[Likelihood]:
        """How likely each choice is as the whole answer to the prompt, through the form that serving asks in."""
        with self._local.speaking_as(self._adapter) as model, torch.inference_mode():
            return [self._likelihood(model, messages, choice) for choice in choices]

    def _generate(self, model: Any, prompts: Sequence[list[int]], maximum_tokens: int) -> list[str]:
        tokenizer = self._local.tokenizer
        padding = _padding_id(tokenizer)
        width = max(map(len, prompts))
        rows = torch.tensor([[padding] * (width - len(ids)) + ids for ids in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
        out = model.generate(
            input_ids=rows,
            attention_mask=mask,
            max_new_tokens=maximum_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=padding,
            eos_token_id=tokenizer.eos_token_id,
        )
        return [text.strip() for text in tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)]

    def _likelihood(self, model: Any, messages: Sequence[Message], choice: str) -> Likelihood:
        row = encode(self._local.tokenizer, (*messages, Message("assistant", choice)), self._local.form)
        ids = torch.tensor([row.input_ids], device=model.device)
        labels = torch.tensor(row.labels[1:], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        learnt = labels != IGNORED
        log_probabilities = torch.log_softmax(logits[learnt], dim=-1).gather(1, labels[learnt].unsqueeze(1))
        return Likelihood(float(log_probabilities.sum()), len(choice))


class ServedSubject:
    """An adapter, or the base, on a model server: what people would be answered. It tells no likelihoods."""

    def __init__(self, server: ModelServer, adapter: str | None, seconds: float = 120.0) -> None:
        self._server = server
        self._adapter = adapter
        self._seconds = seconds

    def answers(self, asked: Sequence[Asked]) -> list[str]:
        """Greedy answers, one after the other. Raises what the server raises."""
        return asyncio.run(self._all(asked))

    def likelihoods(self, messages: Sequence[Message], choices: Sequence[str]) -> list[Likelihood]:
        raise Misconfigured("likelihoods_unavailable", "this model server tells no likelihoods; evaluate in process")

    async def _all(self, asked: Sequence[Asked]) -> list[str]:
        return [await self._answer(one) for one in asked]

    async def _answer(self, asked: Asked) -> str:
        messages = tuple((message.role, message.content) for message in asked.messages)
        sampling = Sampling(maximum_tokens=asked.maximum_tokens, temperature=0.0, seconds=self._seconds)
        stream = self._server.stream(Prompt(render_mistral(asked.messages), messages), self._adapter, sampling)
        async with aclosing(cast("AsyncGenerator[Delta, None]", stream)) as deltas:
            return "".join([delta.text async for delta in deltas]).strip()


def _padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(cast("int", padding))
