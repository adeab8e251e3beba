"""Examines a trained adapter: asks base, active and candidate the same items, holds the gate, registers a candidate.

Importing it loads PyTorch. Knows neither queue nor run: what it finds is handed back.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.adapters.files import Limits, hash_of_hashes
from llm_service.adapters.locations import SharedVolume
from llm_service.adapters.machinery import VERSIONS
from llm_service.adapters.registry import Origin, Registry
from llm_service.settings import Settings
from llm_service.store.adapter_models import AdapterAlias
from llm_service.store.dataset_files import HELDOUT, TRAIN
from llm_service.store.evaluations import ItemResult
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from trainer.dataset_job import masker, personal_data_finder
from trainer.encoding import Row, read_rows
from trainer.evaluate import ACTIVE, BASE, CANDIDATE, Evaluation, evaluate, masker_finder
from trainer.evaluation_set import CORRECTION_TAG, EvaluationSet, Item, ItemMessage, freeze, read_set
from trainer.gate import RULES_FILE, decide, load_rules
from trainer.item_results import EXAMPLE, item_results
from trainer.publish import BaseIdentity, Publication, base_identity, choose_probes, publish
from trainer.retrain import Examined, Trained
from trainer.subjects import LocalModel

GATE_SET: Final = "gate"
"""Folder of the frozen set below `evaluation`; approved corrections are asked besides."""
PUBLICATION: Final = "publication"
REGISTERED_BY: Final = "trainer"
CORRECTION_TOKENS: Final = 256


def examine(trained: Trained, still_ours: Callable[[], None], settings: Settings) -> Examined:
    """What becomes of the adapter. Raises `NotFound` (evaluation_set_missing) and what the steps raise."""
    database = open_database(settings.resolved_database_url)
    try:
        transactions = Transactions(database)
        volume = SharedVolume(settings.adapters_root / VERSIONS, settings.adapters_directory_on_servers)
        registry = _registry(transactions, volume, settings)
        items = _items(trained, settings.learning_root / "evaluation" / GATE_SET)
        evaluation = _evaluated(trained, items, _active_directory(transactions, registry, volume))
        rules_file = settings.learning_root / RULES_FILE
        rules = load_rules(rules_file if rules_file.is_file() else None)
        decision = decide(evaluation.report, rules)
        identity = _identity(trained)
        publication = _published(trained, items, evaluation, decision, identity)
        report = {**evaluation.report, "decision": decision.as_json(), "rules": rules.model_dump(mode="json")}
        results = item_results(items, evaluation, masker())
        if decision.result != CANDIDATE:
            return Examined("rejected", decision.codes, None, report, results)
        still_ours()
        name = asyncio.run(_registered(registry, trained, identity, publication, evaluation.report))
        return Examined("candidate", (), name, report, results)
    finally:
        database.dispose()


def evaluate_served(settings: Settings, adapter: str | None) -> tuple[Mapping[str, Any], tuple[ItemResult, ...]]:
    """The report on a registered adapter beside its base, on the frozen set, and its results question by question;
    None asks the configured base alone.

    Raises `NotFound` (adapter_not_found, base_missing, evaluation_set_missing).
    """
    database = open_database(settings.resolved_database_url)
    try:
        volume = SharedVolume(settings.adapters_root / VERSIONS, settings.adapters_directory_on_servers)
        registry = _registry(Transactions(database), volume, settings)
        directories, base = {}, settings.base_model
        if adapter is not None:
            version = asyncio.run(registry.version(adapter))
            directories, base = {ACTIVE: volume.here(version.location)}, version.base_model
        local = LocalModel(settings.learning_root / "bases" / base, directories)
        subjects = {BASE: local.subject(None), **{name: local.subject(name) for name in directories}}
        items = read_set(settings.learning_root / "evaluation" / GATE_SET)
        evaluation = evaluate(items, subjects, masker_finder(masker()))
        return evaluation.report, item_results(items, evaluation, masker())
    finally:
        database.dispose()


def _items(trained: Trained, gate_directory: Path) -> EvaluationSet:
    """The frozen set, and the approved corrections of the dataset: those held out or, without any, those trained on."""
    frozen = read_set(gate_directory)
    corrections = list(_corrections(trained.dataset_dir, HELDOUT)) or list(_corrections(trained.dataset_dir, TRAIN))
    directory = trained.run_dir / "evaluation"
    shutil.rmtree(directory, ignore_errors=True)
    return freeze((*frozen.items, *corrections), directory, f"{frozen.name}+{trained.dataset}")


def _corrections(dataset_dir: Path, split: str) -> Iterator[Item]:
    for row in read_rows(dataset_dir / f"{split}.jsonl"):
        if row.kind == CORRECTION_TAG:
            yield _item(row)


def _item(row: Row) -> Item:
    return Item(
        id=f"{EXAMPLE}{row.id}",
        kind="answer",
        messages=tuple(ItemMessage(role=one.role, content=one.content) for one in row.messages[:-1]),
        reference=row.messages[-1].content,
        tags=(CORRECTION_TAG,),
        maximum_tokens=CORRECTION_TOKENS,
    )


def _evaluated(trained: Trained, items: EvaluationSet, active: Path | None) -> Evaluation:
    directories = {CANDIDATE: trained.result.adapter_dir, **({ACTIVE: active} if active else {})}
    local = LocalModel(trained.base_dir, directories, trained.recipe.prompt_form)
    subjects = {BASE: local.subject(None), **{name: local.subject(name) for name in directories}}
    return evaluate(items, subjects, masker_finder(masker()))


def _active_directory(transactions: Transactions, registry: Registry, volume: SharedVolume) -> Path | None:
    name = transactions.run_blocking(_active_name)
    if name is None:
        return None
    version = asyncio.run(registry.version(name))
    return volume.here(version.location)


def _active_name(session: Session) -> str | None:
    return session.scalar(select(AdapterAlias.adapter).where(AdapterAlias.alias == "active"))


def _identity(trained: Trained) -> BaseIdentity:
    """A base is known by its folder's name and, as its revision, by the hash of its files: a folder says no more."""
    unnamed = base_identity(trained.base_dir, trained.base, "")
    revision = hash_of_hashes({name: {"sha256": digest} for name, digest in unnamed.sha256.items()})
    return BaseIdentity(trained.base, revision[:40], unnamed.sha256)


def _published(
    trained: Trained, items: EvaluationSet, evaluation: Evaluation, decision: Any, identity: BaseIdentity
) -> Publication:
    written = [item for item in items.items if item.kind == "answer" and len(item.messages) <= 2]
    asked = sorted(written, key=lambda item: item.maximum_tokens)
    answers = {name: evaluation.subjects[name].answers for name in (BASE, CANDIDATE)}
    probes = choose_probes(
        [item.prompt for item in asked],
        [answers[BASE].get(item.id, "") for item in asked],
        [answers[CANDIDATE].get(item.id, "") for item in asked],
        [item.maximum_tokens for item in asked],
    )
    directory = trained.run_dir / PUBLICATION
    shutil.rmtree(directory, ignore_errors=True)  # of an attempt that was interrupted
    return publish(trained.result, trained.recipe, identity, evaluation.report, decision, probes, directory)


async def _registered(
    registry: Registry, trained: Trained, identity: BaseIdentity, publication: Publication, report: Mapping[str, Any]
) -> str:
    origin = Origin(
        family=trained.dataset.rpartition("-v")[0] or trained.dataset,
        base_model=identity.model,
        base_revision=identity.revision,
        dataset_version=trained.dataset,
        training_run_id=trained.run_id,
        trained_by=trained.requested_by,
        evaluation_id=trained.run_id,
        evaluation=json.loads(json.dumps(report)),
        recipe=trained.recipe.model_dump(mode="json"),
    )
    return await registry.register(publication.directory, origin, publication.probes, REGISTERED_BY)


def _registry(transactions: Transactions, volume: SharedVolume, settings: Settings) -> Registry:
    find = personal_data_finder(masker())
    limits = Limits(lora_rank=settings.adapter_maximum_rank)
    return Registry(transactions, volume, volume, limits, lambda text: not find(text))
