"""The bank's data files: read, validated, and taken by the recognisers."""

import shutil
from pathlib import Path

import pytest
import yaml

from llm_service.errors import Misconfigured
from llm_service.masked import RawText
from llm_service.masking.masker import build_masker
from llm_service.masking.rules import DEFAULT_DATA, read_accounts, read_names, read_phones


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return shutil.copytree(DEFAULT_DATA, tmp_path / "data")


def _change(file: Path, **changes: object) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(content | changes, allow_unicode=True), encoding="utf-8")


def test_the_delivered_files_are_valid() -> None:
    assert (3, 3, 6) in read_accounts().shapes
    assert "김" in read_names().surnames.one_syllable
    assert read_phones().branch_numbers == frozenset()


def test_a_listed_branch_number_stays(data: Path) -> None:
    _change(data / "phones.yaml", branch_numbers=["02-2000-1234"])

    masked = build_masker(data).mask(RawText("강남지점 02-2000-1234, 제 번호는 02-2000-9999"))

    assert masked.text == "강남지점 02-2000-1234, 제 번호는 <PHONE_1>"


def test_a_bank_s_own_account_shape_is_found(data: Path) -> None:
    _change(data / "accounts.yaml", banks=[{"names": ["해치은행"], "shapes": ["2-9-1"]}])

    assert build_masker(data).mask(RawText("12-345678901-2 로")).text == "<KR_BANK_ACCOUNT_1> 로"


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("accounts.yaml", {"banks": [{"names": ["가은행"], "shapes": ["3-x-6"]}]}),
        ("accounts.yaml", {"banks": [{"names": ["가은행"], "shapes": ["1-1"]}]}),
        ("accounts.yaml", {"unknown": 1}),
        ("phones.yaml", {"branch_numbers": ["1588-1234"]}),
        ("names.yaml", {"labels": 3}),
    ],
)
def test_an_invalid_file_is_refused_by_name(data: Path, file: str, changes: dict[str, object]) -> None:
    _change(data / file, **changes)

    with pytest.raises(Misconfigured, match=file):
        build_masker(data)


def test_a_missing_file_is_refused_by_name(data: Path) -> None:
    (data / "names.yaml").unlink()

    with pytest.raises(Misconfigured, match=r"names\.yaml"):
        build_masker(data)
