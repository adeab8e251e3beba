"""Who stands behind the keyed hashes of reviews and audit rows, as far as they are people of the console."""

from collections.abc import Mapping
from typing import Final

from admin.logins import Person
from admin.parts import Parts
from llm_service.adapter_client import AdapterClient
from llm_service.client import PERSON_HEADER, ROLES_HEADER, LlmServiceClient
from llm_service.evaluation_client import EvaluationClient
from llm_service.handoff_client import AgentHandoffs
from llm_service.learning_client import LearningClient
from llm_service.operations_client import OperationsClient
from llm_service.store import console
from llm_service.store.identities import Identities

CHANNEL: Final = "console"
"""What llm_service hashes the ids of the console's people with (`llm_service.api.acting`)."""


def service_of(parts: Parts, person: Person) -> LlmServiceClient:
    """The calls of documents and conversations, made as this person."""
    return parts.llm_service.acting_as(person.account_id, sorted(person.roles))


def operations_of(parts: Parts, person: Person) -> OperationsClient:
    """The calls of controls, counts and looking conversations up, made as this person."""
    return OperationsClient(parts.llm_service, person.account_id, sorted(person.roles))


def learning_of(parts: Parts, person: Person) -> LearningClient:
    """The calls of review, datasets and training, made as this person."""
    return LearningClient(parts.llm_service, person.account_id, sorted(person.roles))


def adapters_of(parts: Parts, person: Person) -> AdapterClient:
    """The calls of adapters, made as this person."""
    headers = {PERSON_HEADER: person.account_id, ROLES_HEADER: ",".join(sorted(person.roles))}
    return AdapterClient(parts.llm_service, headers)


def evaluations_of(parts: Parts, person: Person) -> EvaluationClient:
    """The calls of evaluations and blind comparisons, made as this person."""
    headers = {PERSON_HEADER: person.account_id, ROLES_HEADER: ",".join(sorted(person.roles))}
    return EvaluationClient(parts.llm_service, headers)


def handoffs_of(parts: Parts, person: Person) -> AgentHandoffs:
    """The calls of hand-offs, made as this person."""
    return AgentHandoffs(parts.llm_service, person.account_id, sorted(person.roles))


def key_of(parts: Parts, account_id: str) -> str:
    """The keyed hash by which the records know an account; the id itself where the console has no key."""
    key = parts.settings.identity_key.get_secret_value()
    return Identities(key.encode()).user_key(CHANNEL, account_id) if key else account_id


async def names(parts: Parts) -> dict[str, str]:
    """What people are called, by what rows say of them: an account's id, or its keyed hash."""
    return by_every_name(parts, await parts.transactions.read(console.names_of))


def by_every_name(parts: Parts, known: Mapping[str, str]) -> dict[str, str]:
    """The same of people who are known by the ids of their accounts."""
    return {**known, **{key_of(parts, account_id): name for account_id, name in known.items()}}
