"""Settings become parts here, and only here is it said what is embedded and what is production.

`open_embedded` gives commands the parts without HTTP; `open_parts` gives the application everything its routes need.
"""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from prometheus_client import CollectorRegistry

from llm_service.adapters.files import Limits
from llm_service.adapters.machinery import AdapterOptions, Adapters, build_adapters
from llm_service.adapters.promotion import Patience as PromotionPatience
from llm_service.adapters.stores import StoreAccess
from llm_service.adapters.watch import Rule
from llm_service.answering.answer_switch import SECONDS_KEPT, AnswerSwitch, SwitchedStory
from llm_service.answering.audit_desk import AuditDesk
from llm_service.answering.blind_desk import BlindDesk
from llm_service.answering.comparing import SideBySide
from llm_service.answering.control_desk import ControlDesk
from llm_service.answering.conversation_desk import ConversationDesk
from llm_service.answering.curated_desk import CuratedDesk
from llm_service.answering.document_desk import DocumentDesk
from llm_service.answering.erasing import EraseDesk
from llm_service.answering.evaluation_desk import EvaluationDesk
from llm_service.answering.explaining import ExplanationDesk
from llm_service.answering.handoff_desk import HandoffDesk, HandoffTimes
from llm_service.answering.intake import TurnIntake
from llm_service.answering.learning_desk import LearningDesk
from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.office_hours import OfficeHours, read_holidays
from llm_service.answering.parts import Parts
from llm_service.answering.prompt import PromptBudget
from llm_service.answering.prompting import prompting
from llm_service.answering.reader import AnswerReader
from llm_service.answering.readiness import Check, Readiness
from llm_service.answering.restoring import RestoreDesk
from llm_service.answering.retention import DaysKept, Retention
from llm_service.answering.retest import Retest
from llm_service.answering.review_desk import ReviewDesk
from llm_service.answering.revision_desk import RevisionDesk
from llm_service.answering.rotating import KeyRotation
from llm_service.answering.runner import ABANDONED_MARGIN_SECONDS, AnswerRunner
from llm_service.answering.search_desk import SearchDesk
from llm_service.answering.segments import SEGMENT_ENDS
from llm_service.answering.statistics_desk import StatisticsDesk
from llm_service.answering.story import AnswerStory
from llm_service.answering.stream import AnswerLog, MemoryAnswerLog, RedisAnswerLog
from llm_service.answering.threads import Threads
from llm_service.answering.token_count import token_counter
from llm_service.answering.verdicts import VerdictDesk
from llm_service.engines.base import Engine
from llm_service.engines.extractive import ExtractiveEngine
from llm_service.engines.failures import Patience
from llm_service.engines.generating import GeneratingEngine
from llm_service.engines.model_server import ModelServer, Sampling
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.engines.pool import Pool, PoolLimits
from llm_service.engines.pool_metrics import PoolMetrics
from llm_service.engines.tgi import TgiServer
from llm_service.errors import Misconfigured
from llm_service.logs import get_logger
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import Masker, build_masker
from llm_service.masking.vault import Vault
from llm_service.masking.vault_keys import KeyRing, index_key_from
from llm_service.metrics import Metrics
from llm_service.retrieval.changes import EditionHistory
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.embedding import Embedder, Prefixes, ServerEmbedder
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.index import VectorIndexes
from llm_service.retrieval.ingest import Ingest
from llm_service.retrieval.lexical import Lexical
from llm_service.retrieval.loaders.isolation import IsolatedParser
from llm_service.retrieval.loaders.ocr import missing_parts
from llm_service.retrieval.rerank import Reranker, ServerReranker
from llm_service.retrieval.server import ServerIndexes
from llm_service.settings import Settings
from llm_service.store import controls
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.identities import Identities
from llm_service.store.session import open_database, session_factory
from llm_service.store.transactions import Transactions

# Korea has had no summer time since 1988; the law's days are Korean days (법제처 시행일).
KOREA: Final = timezone(timedelta(hours=9), "KST")
RETRIEVAL_THREADS: Final = 2
# One document at a time: two would halve each other and answers would wait for both.
DOCUMENT_THREADS: Final = 1
SWEEP_SECONDS: Final = 30.0
# What the console shows beside what can be set there; nothing of it is a secret or an address.
SHOWN_SETTINGS: Final = (
    "environment",
    "engine",
    "refusal_threshold",
    "passages_per_answer",
    "document_identifiers",
    "answer_timeout_seconds",
    "engine_running_per_server",
    "engine_waiting",
    "engine_waiting_seconds",
    "adapter_watch_turns",
    "adapter_watch_margin",
    "adapter_watch_seconds",
    "retrain_after_approvals",
    "find_by_value",
    "maximum_question_characters",
    "purge_every_seconds",
)
# A model that goes on into another turn of the chat has finished its own.
ENDS: Final = ("</s>", "[INST]")
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Analysers:
    """What takes seconds to load and keeps no state of its own: the masker and the Korean analysis of retrieval."""

    masker: Masker
    lexical: Lexical


@dataclass(frozen=True)
class _ThreadGroups:
    retrieval: Threads
    documents: Threads

    async def close(self) -> None:
        await self.retrieval.close()
        await self.documents.close()


@dataclass(frozen=True)
class Embedded:
    """The data directory opened by one process: records, index, masking, engine, and what takes documents in."""

    settings: Settings
    transactions: Transactions
    analysers: Analysers
    index: IndexOwner
    engine: Engine
    ingest: Ingest
    history: EditionHistory
    adapters: Adapters
    model_servers: tuple[ModelServer, ...]


def load_analysers() -> Analysers:
    """Load and warm up; raises `MaskingUnavailable` where masking cannot work."""
    lexical = Lexical()
    analysers = Analysers(build_masker(analyser=lexical.analyser), lexical)
    analysers.masker.warm_up()
    analysers.lexical.warm_up()
    return analysers


@contextmanager
def open_embedded(
    settings: Settings, analysers: Analysers | None = None, engine: Engine | None = None
) -> Iterator[Embedded]:
    """The parts that need no event loop. The database must have its schema. `engine` stands in for the settings' one.

    Raises `IndexHeld` while another process, the running service for one, owns the index.
    """
    analysers = analysers or load_analysers()
    with ExitStack() as stack:
        database = open_database(settings.resolved_database_url)
        stack.callback(database.dispose)
        transactions = Transactions(database)
        sessions = session_factory(database)
        embedder, reranker = optional_models(settings)
        if embedder:
            stack.callback(embedder.close)
        if reranker:
            stack.callback(reranker.close)
        index = IndexOwner(_indexes(settings), sessions, analysers.lexical, embedder, reranker)
        stack.callback(index.close)
        parser = stack.enter_context(_parser(settings))
        ingest = Ingest(
            transactions,
            parser,
            analysers.masker,
            analysers.lexical,
            index,
            today_in_korea,
            settings.document_identifiers,
        )
        history = EditionHistory(sessions)
        servers = () if engine is not None else _model_servers(settings)
        adapters = _adapters(settings, transactions, analysers, servers)
        engine = engine or _engine(settings, analysers, servers, adapters)
        yield Embedded(settings, transactions, analysers, index, engine, ingest, history, adapters, servers)


@asynccontextmanager
async def open_parts(
    settings: Settings, analysers: Analysers | None = None, engine: Engine | None = None
) -> AsyncIterator[Parts]:
    """Everything the routes need, warmed up; answers that a dead process left behind are ended as interrupted."""
    async with AsyncExitStack() as stack:
        # Loading takes seconds; the loop stays free for signals.
        opened = open_embedded(settings, analysers or await asyncio.to_thread(load_analysers), engine)
        embedded = await asyncio.to_thread(opened.__enter__)
        stack.push(opened)
        log = _answer_log(settings)
        stack.push_async_callback(log.close)
        if isinstance(embedded.engine, GeneratingEngine):
            stack.push_async_callback(embedded.engine.close)
        threads = _ThreadGroups(Threads("retrieval", RETRIEVAL_THREADS), Threads("documents", DOCUMENT_THREADS))
        stack.push_async_callback(threads.close)
        parts = _parts(settings, embedded, log, threads)
        stack.callback(parts.masking.close)
        await parts.masking.warm_up()
        await parts.search.ping()
        await parts.runner.fail_abandoned(everything=_is_sole_owner(settings))
        await stack.enter_async_context(
            _in_background("sweep-abandoned-answers", parts.runner.keep_failing_abandoned(SWEEP_SECONDS))
        )
        if embedded.model_servers:
            await stack.enter_async_context(_in_background("adapters", embedded.adapters.keeper.keep()))
        await stack.enter_async_context(_in_background("switch", parts.switch.keep_reading()))
        await stack.enter_async_context(_in_background("statistics", parts.statistics.keep_counting()))
        await stack.enter_async_context(
            _in_background("silent-handoffs", parts.handoffs.keep_ending_silent(SWEEP_SECONDS))
        )
        await stack.enter_async_context(
            _in_background("purge", parts.retention.keep_purging(settings.purge_every_seconds))
        )
        stack.push_async_callback(parts.revisions.close, settings.shutdown_grace_seconds)
        stack.push_async_callback(parts.runner.close, settings.shutdown_grace_seconds)
        yield parts


def service_token(settings: Settings) -> str:
    """The token callers present. Raises `Misconfigured` when there is none: the service is never open to everybody."""
    token = settings.service_token.get_secret_value()
    if not token:
        raise Misconfigured("service_token_missing", "set HAECHI_SERVICE_TOKEN, or let `make setup` generate one")
    return token


def today_in_korea() -> date:
    return datetime.now(UTC).astimezone(KOREA).date()


def _indexes(settings: Settings) -> VectorIndexes:
    if settings.qdrant_url:
        return ServerIndexes.connect(settings.qdrant_url, settings.qdrant_api_key.get_secret_value())
    return EdgeIndexes(settings.home / "vectors")


def _parser(settings: Settings) -> IsolatedParser:
    parser = IsolatedParser(maximum_bytes=settings.maximum_document_bytes, ocr=settings.ocr)
    if settings.ocr and not parser.reads_scans:
        LOG.warning("ocr_missing", missing=missing_parts())
    return parser


def optional_models(settings: Settings) -> tuple[Embedder | None, Reranker | None]:
    """What HAECHI_EMBEDDINGS and HAECHI_RERANKER name, None where they are empty; to be closed by whoever asks.

    Raises `Misconfigured` if one cannot be had at all.
    """
    return _embedder(settings), _reranker(settings)


def _embedder(settings: Settings) -> Embedder | None:
    where = settings.embeddings
    if not where:
        return None
    prefixes = Prefixes(settings.embeddings_question_prefix, settings.embeddings_passage_prefix)
    if _is_url(where):
        key, seconds = settings.embeddings_api_key.get_secret_value(), settings.embeddings_timeout_seconds
        return ServerEmbedder(where, key, settings.embeddings_model, prefixes, seconds)
    embedder: Embedder = _local_models().DirectoryEmbedder(Path(where), prefixes)
    return embedder


def _reranker(settings: Settings) -> Reranker | None:
    where, depth, seconds = settings.reranker, settings.reranker_candidates, settings.reranker_timeout_seconds
    if not where:
        return None
    if _is_url(where):
        return ServerReranker(where, settings.reranker_api_key.get_secret_value(), depth, seconds)
    reranker: Reranker = _local_models().DirectoryReranker(Path(where), depth, seconds)
    return reranker


def _is_url(where: str) -> bool:
    return where.startswith(("http://", "https://"))


def _local_models() -> ModuleType:
    """The models of this machine, loaded only where they are set: PyTorch is an extra, and takes half a gigabyte."""
    try:
        return importlib.import_module("llm_service.retrieval.local_models")
    except ModuleNotFoundError as error:
        raise Misconfigured(
            "extra_missing", f"a model's directory needs the extra `embeddings`: no module {error.name}"
        ) from None


def _model_servers(settings: Settings) -> tuple[ModelServer, ...]:
    if settings.engine == "extractive":
        return ()
    return tuple(_model_server(settings, address) for address in settings.engine_addresses)


def _adapters(
    settings: Settings, transactions: Transactions, analysers: Analysers, servers: tuple[ModelServer, ...]
) -> Adapters:
    options = AdapterOptions(
        root=settings.adapters_root,
        versions_on_servers=settings.adapters_directory_on_servers,
        limits=Limits(lora_rank=settings.adapter_maximum_rank),
        patience=PromotionPatience(settings.adapter_load_seconds, settings.adapter_rollout_seconds),
        rule=Rule(
            minimum_turns=settings.adapter_watch_turns,
            margin=settings.adapter_watch_margin,
            window_seconds=settings.adapter_watch_seconds,
        ),
        unload_after_seconds=settings.adapter_unload_seconds,
        stores=StoreAccess(
            s3_endpoint=settings.adapter_s3_endpoint,
            s3_region=settings.adapter_s3_region,
            s3_access_key=settings.adapter_s3_access_key.get_secret_value(),
            s3_secret_key=settings.adapter_s3_secret_key.get_secret_value(),
            registry=settings.adapter_registry,
            registry_user=settings.adapter_registry_user,
            registry_password=settings.adapter_registry_password.get_secret_value(),
        ),
    )
    masker, key = analysers.masker, settings.identity_key.get_secret_value().encode()
    return build_adapters(transactions, options, lambda: servers, lambda text: not masker.detect(RawText(text)), key)


def _engine(settings: Settings, analysers: Analysers, servers: tuple[ModelServer, ...], adapters: Adapters) -> Engine:
    if settings.engine == "extractive":
        return _quoting(analysers)
    limits = PoolLimits(
        running_per_server=settings.engine_running_per_server,
        waiting=settings.engine_waiting,
        waiting_seconds=settings.engine_waiting_seconds,
    )
    sampling = Sampling(
        maximum_tokens=settings.engine_answer_tokens,
        stop=ENDS,
        seconds=settings.answer_timeout_seconds,
        ends=SEGMENT_ENDS,
    )
    budget = PromptBudget(settings.engine_prompt_tokens, token_counter(settings.tokenizer))
    pool = Pool(servers, limits)
    pool.follow(adapters.fleet.carries, adapters.fleet.suspect)
    return GeneratingEngine(settings.engine, pool, prompting(budget), sampling)


def _of_pool(engine: Engine, metrics: Metrics) -> tuple[Callable[[], None], Mapping[str, Check]]:
    """What decides whether an answer may wait for the engine, and the check of it; an engine in process has neither."""
    if not isinstance(engine, GeneratingEngine):
        return (lambda: None), {}
    metrics.registry.register(PoolMetrics(engine.pool))
    metrics.engine_running.set_function(lambda: engine.pool.running)
    metrics.engine_waiting.set_function(lambda: engine.pool.waiting)
    return engine.pool.admit, {"engine": engine.ping}


def _quoting(analysers: Analysers) -> ExtractiveEngine:
    return ExtractiveEngine(analysers.lexical.question_words)


def _model_server(settings: Settings, address: str) -> TgiServer | OpenAiServer:
    patience = Patience(
        settings.engine_connect_seconds, settings.engine_first_token_seconds, settings.engine_next_token_seconds
    )
    if settings.engine == "tgi":
        return TgiServer(address, patience)
    return OpenAiServer(
        address, DIALECTS[settings.engine], settings.engine_model, settings.engine_prompt_form, patience
    )


def _answer_log(settings: Settings) -> AnswerLog:
    url = settings.redis_url.get_secret_value()
    if url:
        return RedisAnswerLog(url, settings.answer_log_seconds, settings.stream_heartbeat_seconds)
    return MemoryAnswerLog(settings.answer_log_seconds)


def _parts(settings: Settings, embedded: Embedded, log: AnswerLog, threads: _ThreadGroups) -> Parts:
    metrics = Metrics(CollectorRegistry())
    transactions, longest = embedded.transactions, settings.maximum_question_characters
    masking = MaskingDesk(embedded.analysers.masker, metrics, settings.masking_timeout_seconds)
    retriever, threshold = embedded.index.retriever, settings.refusal_threshold
    search = SearchDesk(masking, retriever, threads.retrieval, today_in_korea, threshold, longest, metrics)
    story = AnswerStory(
        retriever,
        embedded.engine,
        settings.passages_per_answer,
        threshold,
        threads.retrieval,
        quotation=_quoting(embedded.analysers) if isinstance(embedded.engine, GeneratingEngine) else None,
        history=embedded.history,
    )
    admit, optional = _of_pool(embedded.engine, metrics)
    metrics.registry.register(embedded.adapters.metrics)
    revisions = RevisionDesk(transactions, Retest(story))
    switch = AnswerSwitch(transactions, metrics)
    switched = SwitchedStory(story, switch, metrics)
    runner = AnswerRunner(
        transactions,
        switched,
        log,
        metrics,
        today_in_korea,
        settings.answer_timeout_seconds,
        embedded.adapters.router.adapter_for if embedded.model_servers else None,
        admit=admit,
    )
    vault, identities = _vault(settings), _identities(settings)
    patience = settings.answer_timeout_seconds + 2 * ABANDONED_MARGIN_SECONDS + SWEEP_SECONDS
    reply_owed = timedelta(seconds=settings.handoff_reply_seconds)
    intake = TurnIntake(transactions, masking, vault, identities, metrics, longest, reply_owed)
    return Parts(
        intake=intake,
        runner=runner,
        reader=AnswerReader(transactions, log, settings.stream_heartbeat_seconds, patience, runner.locale_of),
        explaining=ExplanationDesk(transactions, partial(_words_of, embedded.analysers.lexical), threads.retrieval),
        verdicts=VerdictDesk(transactions, masking, vault, metrics, longest),
        masking=masking,
        search=search,
        documents=DocumentDesk(
            transactions, embedded.ingest, embedded.index, threads.documents, revisions.start_retest
        ),
        revisions=revisions,
        restoring=RestoreDesk(transactions, vault, identities, metrics),
        retention=Retention(
            transactions,
            vault,
            DaysKept(settings.retention_days_turns, settings.retention_days_feedback, settings.retention_days_audit),
        ),
        rotation=KeyRotation(transactions, vault),
        erasing=EraseDesk(transactions, vault, identities, DatasetFiles(settings.datasets_directory)),
        audit=AuditDesk(transactions),
        review=ReviewDesk(transactions, masking, longest),
        curated=CuratedDesk(transactions, masking),
        learning=LearningDesk(transactions),
        evaluations=EvaluationDesk(transactions),
        blind=BlindDesk(transactions),
        adapters=embedded.adapters.desk,
        switch=switch,
        controls=ControlDesk(
            transactions,
            masking,
            switch,
            {name: getattr(settings, name) for name in controls.LIMITS},
            {f"HAECHI_{name.upper()}": getattr(settings, name) for name in SHOWN_SETTINGS},
            SECONDS_KEPT,
        ),
        statistics=StatisticsDesk(transactions),
        conversations=ConversationDesk(transactions),
        comparing=SideBySide(transactions, switched, today_in_korea, settings.answer_timeout_seconds),
        handoffs=HandoffDesk(
            transactions,
            intake,
            masking,
            vault,
            metrics,
            _office_hours(settings),
            HandoffTimes(
                reply=reply_owed,
                waiting=timedelta(seconds=settings.handoff_waiting_seconds),
                silence=timedelta(seconds=settings.handoff_silence_seconds),
            ),
            longest,
            settings.stream_heartbeat_seconds,
        ),
        identities=identities,
        readiness=Readiness(
            {
                "database": transactions.ping,
                "masking": masking.ping,
                "vault": partial(transactions.read, vault.check),
                "index": search.ping,
                "streams": log.ping,
            },
            {**optional, "answers": switch.ping},
        ),
        metrics=metrics,
    )


def _office_hours(settings: Settings) -> OfficeHours:
    file = settings.handoff_holidays_file
    return OfficeHours.of(settings.handoff_hours, read_holidays(file) if file else ())


def _words_of(lexical: Lexical, question: MaskedText) -> tuple[str, ...]:
    return tuple(word.form for word in lexical.question_words(question))


def _is_sole_owner(settings: Settings) -> bool:
    # The file database belongs to one process; whatever it finds unfinished at its start, nobody works on.
    return settings.resolved_database_url.startswith("sqlite")


@asynccontextmanager
async def _in_background(name: str, endless: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    running = asyncio.create_task(endless, name=name)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _vault(settings: Settings) -> Vault:
    """The vault with the keys it finds; without any it declines every turn, and readiness says so.

    Raises `Misconfigured` for keys that cannot be read, and for a missing key of the mentions that are to be kept.
    """
    mention_key = settings.mention_key.get_secret_value().encode()
    if settings.find_by_value and not mention_key:
        raise Misconfigured("mention_key_missing", "set HAECHI_MENTION_KEY, or switch HAECHI_FIND_BY_VALUE off")
    return Vault(
        KeyRing(_reading_vault_keys(settings)),
        index_key_from(settings.identity_key.get_secret_value()),
        mention_key if settings.find_by_value else None,
        timedelta(seconds=settings.vault_seconds),
    )


def _reading_vault_keys(settings: Settings) -> Callable[[], str]:
    """Reads the file again each time, since rotation changes it while the service runs; a variable never changes."""

    def read() -> str:
        if "HAECHI_VAULT_KEYS" not in os.environ and settings.vault_keys_file.is_file():
            return settings.vault_keys_file.read_text(encoding="ascii")
        return settings.vault_keys.get_secret_value()

    return read


def _identities(settings: Settings) -> Identities:
    key = settings.identity_key.get_secret_value()
    if not key:
        raise Misconfigured("identity_key_missing", "set HAECHI_IDENTITY_KEY, or let `make setup` generate one")
    return Identities(key.encode())
