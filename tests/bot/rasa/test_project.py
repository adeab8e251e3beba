"""The Rasa project as files: every intent has a rule, a page in the docs, utterances enough, in both languages."""

import re
from collections import Counter
from typing import Any

import pytest
import yaml

from tests.bot.rasa.project import RASA, ROOT, utterances

INTENTS = [
    "greet",
    "goodbye",
    "thanks",
    "help",
    "chitchat",
    "ask_knowledge",
    "loan_calculator",
    "inform",
    "affirm",
    "deny",
    "card_lost",
    "fraud_report",
    "branch_hours",
    "exchange_rate",
    "complaint",
    "human_handoff",
    "feedback_positive",
    "feedback_negative",
    "out_of_scope",
]


def read(name: str) -> Any:
    return yaml.safe_load((RASA / name).read_text(encoding="utf-8"))


def domain_intents() -> list[str]:
    return [next(iter(intent)) for intent in read("domain.yml")["intents"]]


def training() -> dict[str, list[str]]:
    """Intent → utterances, with the entity marks taken off."""
    found: dict[str, list[str]] = {}
    for path in sorted((RASA / "data" / "nlu").glob("*.yml")):
        for block in yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]:
            if "intent" in block:
                lines = [line.removeprefix("- ") for line in block["examples"].splitlines()]
                found[block["intent"]] = [re.sub(r"\[([^\]]+)\]\(\w+\)", r"\1", line) for line in lines]
    return found


def test_the_domain_has_exactly_the_agreed_intents_and_the_fallback() -> None:
    assert sorted(domain_intents()) == sorted([*INTENTS, "nlu_fallback"])


@pytest.mark.parametrize("intent", [*INTENTS, "nlu_fallback"])
def test_every_intent_has_a_rule(intent: str) -> None:
    steps = [rule["steps"][0].get("intent") for rule in read("data/rules.yml")["rules"]]
    assert intent in steps


@pytest.mark.parametrize("intent", INTENTS)
def test_every_intent_has_sixty_different_utterances(intent: str) -> None:
    assert len(set(training()[intent])) >= 60


def test_knowledge_has_far_more() -> None:
    assert len(set(training()["ask_knowledge"])) >= 250


def test_no_utterance_is_taught_as_two_intents() -> None:
    taught = Counter(text for texts in training().values() for text in set(texts))
    assert [text for text, times in taught.items() if times > 1] == []


@pytest.mark.parametrize(
    "placeholder",
    ["PERSON", "KR_RRN", "PHONE", "CREDIT_CARD", "KR_BANK_ACCOUNT", "EMAIL", "ADDRESS", "BIRTHDATE", "CUSTOMER_ID"],
)
def test_masked_values_are_taught_in_the_maskers_form(placeholder: str) -> None:
    assert any(f"<{placeholder}_1>" in text for texts in training().values() for text in texts)


@pytest.mark.parametrize("name", ["heldout", "development"])
def test_the_utterances_to_be_measured_on_are_not_taught(name: str) -> None:
    def folded(text: str) -> str:
        return re.sub(r"[\s.!?~]", "", text)

    taught = {folded(text) for texts in training().values() for text in texts}
    assert [text for text, _ in utterances(name) if folded(text) in taught] == []


def test_the_held_out_set_is_large_and_holds_every_intent() -> None:
    counts = Counter(intent for _, intent in utterances("heldout"))
    assert sum(counts.values()) >= 300
    assert {intent: count for intent, count in counts.items() if count < 15} == {}
    assert sorted(counts) == sorted(INTENTS)


def test_every_text_is_there_in_korean_and_in_english() -> None:
    for name, variations in read("domain.yml")["responses"].items():
        texts = [variation for variation in variations if "text" in variation]
        locales = ["en" if "condition" in variation else "ko" for variation in texts]
        assert locales in ([], ["ko", "en"]), name


def test_the_docs_name_every_intent() -> None:
    page = (ROOT / "docs" / "intents.md").read_text(encoding="utf-8")
    assert [intent for intent in domain_intents() if f"`{intent}`" not in page] == []


def test_one_channel_and_no_other_is_open() -> None:
    assert list(read("credentials.yml")) == ["bot.rasa.channel.guarded.GuardedRest"]
