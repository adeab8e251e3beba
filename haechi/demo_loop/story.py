"""The story of the learning loop on a running platform: a wrong answer, people, a dataset, an adapter, and back again.

Each step goes the way that people and workers go: through the gateway, the service's routes and the queue. What is told
of it was measured in this run. Knows no process and no way of printing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final, Protocol, TypeVar
from uuid import uuid4

from bot.gateway.client import GatewayAnswer, GatewayError
from haechi.demo_loop.material import (
    ANSWER_TOKENS,
    Asked,
    Material,
    as_served,
    freeze_gate,
    write_curated,
    write_gate_rules,
)
from haechi.demo_loop.scene import BASE, Scene
from llm_service.adapter_client import AdapterClient, AdapterStatus
from llm_service.answering.prompt import prompt_hash, render_mistral
from llm_service.client import PERSON_HEADER, ROLES_HEADER, Explanation, SearchHit
from llm_service.engines.failures import Patience
from llm_service.engines.model_server import Prompt, Sampling
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.learning_client import (
    DatasetView,
    LearningClient,
    LossPointView,
    ReviewItemView,
    TrainingRunView,
)
from trainer.curated import read_curated
from trainer.measures.text import exact_match

RECIPE: Final = "demo-loop"
DOCUMENT: Final = "상품안내.md"
BASE_ADAPTER: Final = "base"
"""What a turn is kept with that no adapter answered."""
LICENCE: Final = "bank"
ENGINE: Final = "devserver"
POLL_SECONDS: Final = 0.1
TRAINING_POLL_SECONDS: Final = 2.0
"""Training takes every core there is: who watches asks seldom."""
STEP_SECONDS: Final = 900
READERS: Final = 3
READ_ON_SECONDS: Final = 3.0
"""How long readers go on asking after the flip, so that both sides of it are under load."""
ROLES: Final = {
    "teller": "reviewer",
    "reviewer": "reviewer",
    "approver-one": "approver",
    "approver-two": "approver",
    "trainer": "trainer",
}

Found = TypeVar("Found")


class LoopBroken(Exception):
    """A step did not come to the end it is to show; the message says which and how it ended."""


class Teller(Protocol):
    """Tells a step by the code of its sentence, and shows what belongs to it."""

    def say(self, code: str, **named: object) -> None: ...

    def progress(self, run: TrainingRunView, points: Sequence[LossPointView]) -> None: ...


@dataclass(frozen=True)
class Answered:
    """One question put to the platform: what people saw, and how it came about."""

    seen: GatewayAnswer
    explained: Explanation


@dataclass(frozen=True)
class Compared:
    """One held-out question as base and adapter answer it on a model server."""

    asked: Asked
    base: str
    adapter: str


@dataclass
class Reading:
    """What readers met while versions changed under them."""

    answered: int = 0
    failed: int = 0
    engines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Promoted:
    """A version in service: seconds from the call to serving, and what readers met meanwhile."""

    seconds: float
    reading: Reading


@dataclass(frozen=True)
class RolledBack:
    """The way back: seconds of the call, and until the first answer without the adapter."""

    call_seconds: float
    until_base_seconds: float
    after: Answered


@dataclass(frozen=True)
class Told:
    """The whole story in figures."""

    before: Answered
    base_text: str
    approved: int
    dataset: DatasetView
    run: TrainingRunView
    points: tuple[LossPointView, ...]
    adapter: str
    compared: tuple[Compared, ...]
    promoted: Promoted
    after: Answered
    is_prompt_the_trained_one: bool
    rolled_back: RolledBack
    seconds: dict[str, float]

    def exact(self, of: str) -> float:
        """Share of the held-out questions answered exactly: `of` is base or adapter."""
        return sum(exact_match(getattr(one, of), one.asked.answer) for one in self.compared) / len(self.compared)


class Story:
    """Tells the loop once on a scene that nothing else uses."""

    def __init__(self, scene: Scene, material: Material, teller: Teller, recipe: str = RECIPE) -> None:
        self._scene, self._material, self._recipe = scene, material, recipe
        self._say, self._progress = teller.say, teller.progress
        self._gateway, self._service = scene.platform.gateway, scene.platform.llm_service
        self._servers = [OpenAiServer(url, DIALECTS["devserver"], "", "text", Patience()) for url in scene.replicas]
        self._seconds: dict[str, float] = {}

    async def tell(self) -> Told:
        """Every step in order. Raises `LoopBroken`, and what the services answer."""
        try:
            await self._timed("documents", self._ingest)
            passages = await self._passages()
            before, base_text = await self._timed("question", partial(self._ask_before, passages))
            approved = await self._timed("review", partial(self._review, before))
            freeze_gate(self._material.heldout, passages, self._scene.evaluation_set)
            write_gate_rules(self._scene.gate_rules)
            dataset = await self._timed("dataset", self._freeze)
            run, points = await self._timed("training", partial(self._train, dataset))
            adapter = await self._timed("approval", partial(self._approve_adapter, run))
            promoted = await self._timed("promotion", partial(self._promote, adapter))
            after, is_trained = await self._ask_after(adapter, passages)
            compared = await self._timed("comparison", partial(self._compare, adapter, passages))
            rolled_back = await self._timed("rollback", self._roll_back)
        finally:
            for server in self._servers:
                await server.close()
        return Told(
            before, base_text, approved, dataset, run, points, adapter, compared, promoted, after, is_trained,
            rolled_back, self._seconds,
        )  # fmt: skip

    async def _ingest(self) -> None:
        content = self._material.document.encode()
        report = await self._service.upload_document(DOCUMENT, content, ["staff", "customer"])
        if report.state != "ready":
            raise LoopBroken(f"the document ended as {report.state}")
        self._say("document", products=len(self._material.products), passages=report.passages)

    async def _passages(self) -> dict[str, SearchHit]:
        """The one passage that serving would find for each question."""
        questions = (self._material.told, *self._material.heldout)
        found = [await self._service.search(one.question, "staff", 1) for one in questions]
        return {one.id: result.results[0] for one, result in zip(questions, found, strict=True)}

    async def _ask_before(self, passages: dict[str, SearchHit]) -> tuple[Answered, str]:
        told = self._material.told
        answered = await self._ask(told.question)
        base_text = await self._written(told, passages[told.id], None)
        engine, text = answered.explained.engine, answered.seen.answer
        failures = {code for verdict in answered.explained.verdicts for code in verdict["failures"]}
        self._say("question", question=told.question)
        self._say("base_wrote", text=base_text, right=told.answer)
        self._say("people_saw", engine=engine, text=_on_one_line(text), failures=", ".join(sorted(failures)) or "-")
        return answered, base_text

    async def _review(self, before: Answered) -> int:
        told = self._material.told
        turn = before.explained
        await self._service.give_feedback(
            turn.turn_id, turn.conversation_id, str(uuid4()), "down", correction=told.answer
        )
        self._say("feedback", correction=told.answer)
        (item,) = await self._learning("reviewer").review_items(kinds=["correction"])
        reviewer = self._learning("reviewer")
        proposed = await reviewer.propose(item.id, item.version, told.question, told.answer, "wrong")
        await self._approve_twice(proposed)
        self._say("correction_approved")
        path = write_curated(self._material.learnt, self._scene.home / "paraphrases.jsonl")
        drafts = read_curated(path, "rag", LICENCE).drafts
        added = await self._learning("trainer").add_drafts(drafts, passages=1)
        while items := await self._learning("reviewer").review_items(kinds=["rag"], limit=200):
            for one in items:
                await self._approve_twice(one)
        self._say("paraphrases_approved", count=len(added))
        return 1 + len(added)

    async def _approve_twice(self, item: ReviewItemView) -> None:
        once = await self._learning("approver-one").approve(item.id, item.version)
        await self._learning("approver-two").approve(item.id, once.version)

    async def _freeze(self) -> DatasetView:
        trainer = self._learning("trainer")
        asked = await trainer.request_dataset({"general_share": 0.0, "heldout_share": 0.1})
        found = await _until(
            lambda: trainer.dataset(asked.name), lambda one: one.state in ("ready", "failed"), TRAINING_POLL_SECONDS
        )
        if found.state != "ready":
            raise LoopBroken(f"the dataset ended as {found.state}: {found.error_code}")
        left_out = sum(found.statistics["left_out"].get(code, 0) for code in ("in_evaluation", "duplicate"))
        sha256 = (found.content_sha256 or "")[:12]
        self._say("dataset", name=found.name, rows=found.statistics["rows"], left_out=left_out, sha256=sha256)
        return found

    async def _train(self, dataset: DatasetView) -> tuple[TrainingRunView, tuple[LossPointView, ...]]:
        trainer = self._learning("trainer")
        asked = await trainer.request_training(dataset.name, self._recipe, BASE)

        async def look() -> TrainingRunView:
            run = await trainer.training_run(asked.id)
            self._progress(run, await trainer.training_points(asked.id))
            return run

        ended = ("succeeded", "failed", "cancelled")
        run = await _until(look, lambda one: one.state in ended, TRAINING_POLL_SECONDS)
        if run.outcome.get("verdict") != "candidate":
            raise LoopBroken(f"the training ended as {run.state}: {run.error_code} {run.outcome}")
        self._say("gate", adapter=run.outcome["adapter"], steps=run.step)
        return run, tuple(await trainer.training_points(asked.id))

    async def _approve_adapter(self, run: TrainingRunView) -> str:
        adapter = str(run.outcome["adapter"])
        proposal = await self._adapters("reviewer").propose(adapter)
        await self._adapters("approver-one").approve(adapter, proposal)
        self._say("adapter_approved", adapter=adapter)
        return adapter

    async def _promote(self, adapter: str) -> Promoted:
        approver = self._adapters("approver-two")
        async with self._readers() as reading:
            await _until(_now(lambda: reading.answered), lambda answered: answered >= READERS)
            started = time.perf_counter()
            promotion = await approver.promote(adapter)
            status = await _until(approver.status, lambda one: _state(one, promotion) != "loading")
            seconds = time.perf_counter() - started
            if _state(status, promotion) != "serving":
                raise LoopBroken(f"the promotion ended as {_state(status, promotion)}")
            await asyncio.sleep(READ_ON_SECONDS)
        self._say("promoted", seconds=seconds, answered=reading.answered, failed=reading.failed)
        return Promoted(seconds, reading)

    @asynccontextmanager
    async def _readers(self) -> AsyncIterator[Reading]:
        """People who go on asking, each the next question as soon as the last is answered, until the block ends."""
        reading, ended = Reading(), asyncio.Event()

        async def read(questions: Sequence[Asked]) -> None:
            for one in cycle(questions):
                if ended.is_set():
                    return
                await self._read(one, reading)

        share = len(self._material.heldout) // READERS
        readers = [
            asyncio.create_task(read(self._material.heldout[number * share : (number + 1) * share]))
            for number in range(READERS)
        ]
        try:
            yield reading
        finally:
            ended.set()
            await asyncio.gather(*readers)

    async def _read(self, one: Asked, reading: Reading) -> None:
        try:
            answer = await self._gateway.ask(one.question, "staff")
        except GatewayError:
            reading.failed += 1
            return
        reading.answered += 1
        reading.failed += answer.state != "answered" and not answer.refused
        engine = answer.engine or ""
        reading.engines[engine] = reading.engines.get(engine, 0) + 1

    async def _ask_after(self, adapter: str, passages: dict[str, SearchHit]) -> tuple[Answered, bool]:
        told = self._material.told
        answered = await self._ask(told.question)
        trained = prompt_hash(as_served(told.question, passages[told.id]))
        sources = ", ".join(f"[{one.number}] {one.label}" for one in answered.seen.sources)
        text = _on_one_line(answered.seen.answer)
        if answered.explained.engine != ENGINE:
            self._say("not_the_model", adapter=adapter)
        self._say("asked_again", text=text, engine=answered.explained.engine, adapter=adapter, sources=sources)
        return answered, answered.explained.prompt_sha256 == trained

    async def _compare(self, adapter: str, passages: dict[str, SearchHit]) -> tuple[Compared, ...]:
        """What the model servers write for the held-out questions, with the adapter and without."""
        compared = []
        for one in self._material.heldout:
            hit = passages[one.id]
            base, own = await asyncio.gather(self._written(one, hit, None), self._written(one, hit, adapter))
            compared.append(Compared(one, base, own))
        return tuple(compared)

    async def _written(self, asked: Asked, found: SearchHit, adapter: str | None) -> str:
        messages = as_served(asked.question, found)
        prompt = Prompt(render_mistral(messages), tuple((one.role, one.content) for one in messages))
        server = self._servers[0 if adapter is None else -1]
        pieces = server.stream(prompt, adapter, Sampling(maximum_tokens=ANSWER_TOKENS))
        return "".join([piece.text async for piece in pieces]).strip()

    async def _roll_back(self) -> RolledBack:
        started = time.perf_counter()
        await self._adapters("trainer").roll_back("active", "demo_loop")
        called = time.perf_counter() - started
        again = partial(self._ask, self._material.told.question)
        after = await _until(again, lambda one: one.explained.adapter == BASE_ADAPTER)
        until_base = time.perf_counter() - started
        self._say("rolled_back", call=called, until=until_base, engine=after.explained.engine)
        return RolledBack(called, until_base, after)

    async def _ask(self, question: str) -> Answered:
        # A handle of a turn begins with the id of the turn.
        seen = await self._gateway.ask(question, "staff")
        return Answered(seen, await self._service.explanation(seen.turn_id.split(".")[0]))

    def _learning(self, person: str) -> LearningClient:
        return LearningClient(self._service, person, [ROLES[person]])

    def _adapters(self, person: str) -> AdapterClient:
        return AdapterClient(self._service, {PERSON_HEADER: person, ROLES_HEADER: ROLES[person]})

    async def _timed(self, part: str, step: Callable[[], Awaitable[Found]]) -> Found:
        started = time.perf_counter()
        found = await step()
        self._seconds[part] = round(time.perf_counter() - started, 1)
        return found


async def _until(
    look: Callable[[], Awaitable[Found]], holds: Callable[[Found], bool], every_seconds: float = POLL_SECONDS
) -> Found:
    """Look again until it holds. Raises `LoopBroken` after `STEP_SECONDS`."""
    deadline = time.monotonic() + STEP_SECONDS
    while not holds(found := await look()):
        if time.monotonic() > deadline:
            raise LoopBroken(f"a step took longer than {STEP_SECONDS} s")
        await asyncio.sleep(every_seconds)
    return found


def _now(value: Callable[[], Found]) -> Callable[[], Awaitable[Found]]:
    async def look() -> Found:
        return value()

    return look


def _state(status: AdapterStatus, promotion_id: str) -> str:
    return next(one.state for one in status.promotions if one.id == promotion_id)


def _on_one_line(answer: str) -> str:
    return " ".join(answer.split())
