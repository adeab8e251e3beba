"""The masker's data files, read once and validated: account shapes, branch numbers, name lists. Knows no recogniser."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from llm_service.errors import Misconfigured

DEFAULT_DATA = Path(__file__).parent / "data"


def _words(value: object) -> object:
    return value.split() if isinstance(value, str) else value


_Model = TypeVar("_Model", bound=BaseModel)
Words = Annotated[frozenset[str], BeforeValidator(_words)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bank(_File):
    """A bank's spellings and the digit groups of its account numbers ("3-3-6")."""

    names: tuple[str, ...] = Field(min_length=1)
    shapes: tuple[str, ...] = Field(min_length=1)

    @field_validator("shapes")
    @classmethod
    def _groups_of_digits(cls, shapes: tuple[str, ...]) -> tuple[str, ...]:
        for shape in shapes:
            groups = shape.split("-")
            if not all(group.isdigit() for group in groups) or not 7 <= sum(map(int, groups)) <= 16:
                raise ValueError(
                    f"account shape {shape!r} is not digit counts joined by '-' with 7 to 16 digits in all"
                )
        return shapes


class AccountFile(_File):
    banks: tuple[Bank, ...]
    context_words: Words


class AccountRules(BaseModel):
    """What the account recogniser needs: all shapes as tuples of group lengths, and every word that makes an account
    likely.
    """

    model_config = ConfigDict(frozen=True)
    shapes: frozenset[tuple[int, ...]]
    context_words: frozenset[str]
    bank_names: frozenset[str]


class PhoneFile(_File):
    branch_numbers: frozenset[str]

    @field_validator("branch_numbers")
    @classmethod
    def _landlines(cls, numbers: Iterable[str]) -> frozenset[str]:
        digits = frozenset(number.replace("-", "").replace(" ", "") for number in numbers)
        if bad := [
            number for number in digits if not (number.isdigit() and number.startswith("0") and 9 <= len(number) <= 11)
        ]:
            raise ValueError(f"{len(bad)} branch numbers are not Korean landlines of 9 to 11 digits")
        return digits


class Surnames(_File):
    one_syllable: Words
    also_words: Words
    two_syllables: Words


class GivenSyllables(_File):
    first: Words
    last: Words


class NameFile(_File):
    """The lists behind the name rules; see the comments in data/names.yaml."""

    surnames: Surnames
    given_syllables: GivenSyllables
    given_names: Words
    word_names: Words
    labels: Words
    strict_labels: Words
    latin_labels: Words
    latin_surnames: Words
    honorifics: Words
    titles: Words
    belongings: Words
    products: Words
    not_persons: Words
    not_person_endings: Words


def read_accounts(folder: Path = DEFAULT_DATA) -> AccountRules:
    file = _read(folder / "accounts.yaml", AccountFile)
    shapes = {tuple(map(int, shape.split("-"))) for bank in file.banks for shape in bank.shapes}
    names = {name for bank in file.banks for name in bank.names}
    return AccountRules(
        shapes=frozenset(shapes), context_words=frozenset(names | file.context_words), bank_names=frozenset(names)
    )


def read_phones(folder: Path = DEFAULT_DATA) -> PhoneFile:
    return _read(folder / "phones.yaml", PhoneFile)


def read_names(folder: Path = DEFAULT_DATA) -> NameFile:
    return _read(folder / "names.yaml", NameFile)


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise Misconfigured("masking_data_invalid", f"mend {path.name} of the masking data: {error}") from error
