"""The committed terms and synonyms: what their header comments promise to those who edit and those who read them."""

from __future__ import annotations

from collections import Counter

import pytest

from llm_service.retrieval.vocabulary import Vocabulary, load_vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


def test_there_are_terms_and_synonyms_enough_for_a_bank(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.terms) >= 400
    assert len(vocabulary.synonyms) >= 150


def test_the_parts_of_a_term_written_one_after_the_other_are_the_term(vocabulary: Vocabulary) -> None:
    assert [term for term, parts in vocabulary.terms.items() if "".join(parts) != term] == []


def test_a_phrase_stands_in_one_synonym_entry_only(vocabulary: Vocabulary) -> None:
    written = Counter(phrase for synonym in vocabulary.synonyms for phrase in synonym.written)
    assert [phrase for phrase, times in written.items() if times > 1] == []


def test_no_synonym_leads_to_itself(vocabulary: Vocabulary) -> None:
    assert [entry.written for entry in vocabulary.synonyms if set(entry.written) & set(entry.meant)] == []


@pytest.mark.parametrize(
    ("abbreviation", "name"),
    [
        ("금융실명법", "금융실명거래 및 비밀보장에 관한 법률"),
        ("특금법", "특정 금융거래정보의 보고 및 이용 등에 관한 법률"),
        ("금소법", "금융소비자 보호에 관한 법률"),
        ("전금법", "전자금융거래법"),
        ("여전법", "여신전문금융업법"),
        ("신정법", "신용정보의 이용 및 보호에 관한 법률"),
        ("개보법", "개인정보 보호법"),
        ("예보법", "예금자보호법"),
    ],
)
def test_the_abbreviation_of_a_law_leads_to_its_name(vocabulary: Vocabulary, abbreviation: str, name: str) -> None:
    assert any(abbreviation in entry.written and name in entry.meant for entry in vocabulary.synonyms)
