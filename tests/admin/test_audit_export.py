"""An export of the audit proves itself, without the platform it came from: whatever is done to the file is found."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from haechi.audit_file import verify_file
from haechi.cli import build_app
from llm_service.errors import InvalidInput
from tests.admin.platform import Platform

Lines = list[str]
FORMATS = pytest.mark.parametrize("format_", ["jsonl", "csv"])


@pytest.fixture
def exported(platform: Platform, tmp_path: Path) -> Callable[[str], Path]:
    """The console's export in a format, as a file."""

    def export(format_: str) -> Path:
        with platform.logged_in("auditor") as auditor:
            path = tmp_path / f"audit.{format_}"
            path.write_bytes(auditor.get(f"/audit/export?format={format_}").content)
        return path

    return export


def edited(lines: Lines) -> Lines:
    return [line.replace("account.added", "account.closed") if place == 3 else line for place, line in enumerate(lines)]


def removed(lines: Lines) -> Lines:
    return lines[:5] + lines[6:]


def reordered(lines: Lines) -> Lines:
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


def doubled(lines: Lines) -> Lines:
    return [*lines[:5], lines[4], *lines[5:]]


@FORMATS
def test_an_untouched_export_holds(exported: Callable[[str], Path], format_: str) -> None:
    found = verify_file(exported(format_)).verification
    assert (found.fault, found.first_position) == (None, 1)
    assert found.rows == found.last_position > 8


@FORMATS
@pytest.mark.parametrize(
    ("harm", "fault"), [(edited, "edited"), (removed, "removed"), (reordered, "removed"), (doubled, "added")]
)
def test_whatever_is_done_to_an_export_is_found(
    exported: Callable[[str], Path], format_: str, harm: Callable[[Lines], Lines], fault: str
) -> None:
    path = exported(format_)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    header = lines[: format_ == "csv"]
    path.write_text("".join([*header, *harm(lines[len(header) :])]), encoding="utf-8")
    assert verify_file(path).verification.fault == fault


@FORMATS
def test_rows_cut_off_the_end_are_found_beside_the_row_that_was_kept(
    exported: Callable[[str], Path], format_: str
) -> None:
    path = exported(format_)
    whole = verify_file(path).verification
    kept = (whole.last_position, whole.last_sha256)
    assert verify_file(path, kept).has_kept_row
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-2]), encoding="utf-8")
    assert not verify_file(path, kept).has_kept_row


def test_the_rows_of_both_formats_are_the_same(exported: Callable[[str], Path]) -> None:
    of_json = [json.loads(line) for line in exported("jsonl").read_text(encoding="utf-8").splitlines()]
    of_csv = list(csv.DictReader(io.StringIO(exported("csv").read_bytes().decode())))
    assert [row["sha256"] for row in of_json] == [row["sha256"] for row in of_csv[: len(of_json)]]


def test_the_command_verifies_a_file_and_says_what_it_found(exported: Callable[[str], Path]) -> None:
    path = exported("jsonl")
    held = CliRunner().invoke(build_app(), ["audit", "verify", "--file", str(path)])
    assert (held.exit_code, "the chain holds" in held.stdout) == (0, True)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(removed(lines)), encoding="utf-8")
    broken = CliRunner().invoke(build_app(), ["audit", "verify", "--file", str(path)])
    assert (broken.exit_code, "broken at 6: removed" in broken.stderr) == (1, True)


@pytest.mark.parametrize("content", ["", "what is this", "{}", '{"position": "one"}', "position,at\n1,2\n"])
def test_what_is_no_export_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "audit.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match="audit_export_unreadable"):
        verify_file(path)
