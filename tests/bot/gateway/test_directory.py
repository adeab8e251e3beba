"""Who a channel's user is: rows give rights, everything that is wrong, unknown or over gives none."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.gateway.directory import (
    CHECK_EVERY_SECONDS,
    STALE_AFTER_SECONDS,
    Directory,
    DirectoryUnreadable,
    Person,
    checked,
    read_directory,
)

OBJECT_ID = "3F2504E0-4F89-41D3-9A0C-0305E82C3301"
HONG = {"id": "20231", "channels": {"slack": "U012AB3CD", "teams": OBJECT_ID}, "groups": ["loans", "compliance"]}
LEFT = {"id": "20107", "channels": {"slack": "U0LEFT"}, "groups": ["loans"], "active": False}
YAML = f"""
people:
  - id: 20231
    channels: {{slack: U012AB3CD, teams: {OBJECT_ID}}}
    groups: [loans, compliance]
  - {{id: "20107", channels: {{slack: U0LEFT}}, groups: [loans], active: false}}
"""
CSV = f"""id,groups,active,slack,teams
20231,loans; compliance,true,U012AB3CD,{OBJECT_ID}
20107,loans,false,U0LEFT,
"""
FILES = {
    "directory.yaml": YAML,
    "directory.json": json.dumps({"people": [HONG, LEFT]}),
    "directory.csv": CSV,
    "from_excel.csv": "\ufeff" + CSV.replace("\n", "\r\n"),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def directory_of(folder: Path, people: list[Any], clock: Clock | None = None) -> tuple[Directory, Path]:
    file = folder / "directory.json"
    file.write_text(json.dumps({"people": people}), encoding="utf-8")
    return Directory(file, clock or Clock()), file


def rewrite(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    seen = file.stat().st_mtime_ns
    os.utime(file, ns=(seen, seen + 1_000_000))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("channel", "external_id", "audience", "groups"),
    [
        ("slack", "U012AB3CD", "staff", ("compliance", "loans")),
        ("teams", OBJECT_ID, "staff", ("compliance", "loans")),
        ("teams", OBJECT_ID.lower(), "staff", ("compliance", "loans")),
        ("teams", "U012AB3CD", "customer", ()),
        ("slack", "u012ab3cd", "customer", ()),
        ("slack", "U0LEFT", "customer", ()),
        ("slack", "U0STRANGER", "customer", ()),
        ("web", "U012AB3CD", "customer", ()),
        ("slack", "", "customer", ()),
    ],
)
async def test_every_format_gives_the_same_rights(
    tmp_path: Path, name: str, channel: str, external_id: str, audience: str, groups: tuple[str, ...]
) -> None:
    file = tmp_path / name
    file.write_text(FILES[name], encoding="utf-8", newline="")

    person = await Directory(file).person_of(channel, external_id)

    assert person == Person(external_id, audience, groups, "ko")  # type: ignore[arg-type]


async def test_without_a_file_everybody_is_a_customer_without_groups() -> None:
    assert await Directory(None).person_of("slack", "U012AB3CD") == Person("U012AB3CD", "customer", (), "ko")


@pytest.mark.parametrize(
    ("row", "errors"),
    [
        ({"id": "1"}, ["channels: missing"]),
        ({"channels": {"slack": "U1"}}, ["id: missing"]),
        ({"id": "1", "channels": {}}, ["channels: too_short"]),
        ({"id": "1", "channels": {"slack": ""}}, ["channels.slack: string_too_short"]),
        ({"id": "1", "channels": {"slack": "U1"}, "groups": ["Loans!"]}, ["groups.0: string_pattern_mismatch"]),
        ({"id": "1", "channels": {"slack": "U1"}, "groups": ["*"]}, ["groups.0: string_pattern_mismatch"]),
        ({"id": "1", "channels": {"slack": "U1"}, "audience": "board"}, ["audience: literal_error"]),
        ({"id": "1", "channels": {"slack": "U1"}, "active": "perhaps"}, ["active: bool_parsing"]),
        ({"id": "1", "channels": {"slack": "U1"}, "locale": "fr"}, ["locale: literal_error"]),
        ({"id": "1", "channels": {"slack": "U1"}, "rank": "director"}, ["rank: extra_forbidden"]),
        ("not a row", ["row: model_type"]),
    ],
)
def test_a_wrong_row_is_named_gives_no_right_and_leaves_the_others_alone(row: Any, errors: list[str]) -> None:
    content = checked([HONG, row])

    assert [str(error) for error in content.errors] == [f"row 2: {error}" for error in errors]
    assert set(content.people) == {("slack", "U012AB3CD"), ("teams", OBJECT_ID.lower())}


def test_a_user_id_that_two_rows_claim_is_nobodys() -> None:
    content = checked([HONG, {"id": "7", "channels": {"slack": "U012AB3CD"}, "groups": ["board"]}])

    assert set(content.people) == {("teams", OBJECT_ID.lower())}
    assert [error.code for error in content.errors] == ["claimed_by_two_rows"] * 2


def test_errors_say_nothing_of_what_stands_in_the_row() -> None:
    content = checked([{"id": "990101-1234567", "channels": {"slack": "U1"}, "groups": ["홍길동의 그룹"]}])

    assert not any("홍길동" in str(error) or "990101" in str(error) for error in content.errors)
    assert "U1" not in repr(Person("U1", "staff", (), "ko"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("directory.json", "{"),
        ("directory.json", "[]"),
        ("directory.json", '{"people": {}}'),
        ("directory.yaml", "people: [}"),
        ("directory.yaml", "!!python/object/apply:os.getcwd []"),
        ("directory.csv", "name,slack\n홍,U1\n"),
        ("directory.csv", ""),
        ("directory.toml", "people = []"),
    ],
)
def test_what_is_no_directory_is_refused_at_start(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    with pytest.raises(DirectoryUnreadable, match=name):
        Directory(tmp_path / name)
    with pytest.raises(DirectoryUnreadable, match="missing"):
        read_directory(tmp_path / "missing.yaml")


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    clock = Clock()
    directory, file = directory_of(tmp_path, [HONG], clock)
    assert (await directory.person_of("slack", "U012AB3CD")).audience == "staff"

    rewrite(file, json.dumps({"people": [{**HONG, "active": False}]}))
    clock.now += CHECK_EVERY_SECONDS

    assert (await directory.person_of("slack", "U012AB3CD")).audience == "customer"


@pytest.mark.parametrize("broken", ["{", None])
async def test_rows_read_last_count_on_while_the_file_is_broken_but_not_for_long(
    tmp_path: Path, broken: str | None
) -> None:
    clock = Clock()
    directory, file = directory_of(tmp_path, [HONG], clock)
    if broken is None:
        file.unlink()
    else:
        rewrite(file, broken)

    clock.now += STALE_AFTER_SECONDS - 1
    assert (await directory.person_of("slack", "U012AB3CD")).audience == "staff"
    clock.now += CHECK_EVERY_SECONDS
    assert (await directory.person_of("slack", "U012AB3CD")).audience == "customer"

    rewrite(file, json.dumps({"people": [HONG]}))
    clock.now += CHECK_EVERY_SECONDS
    assert (await directory.person_of("slack", "U012AB3CD")).audience == "staff"


ROWS = st.fixed_dictionaries(
    {"id": st.text(max_size=4), "channels": st.dictionaries(st.sampled_from(["slack", "teams", "X!"]), st.text())},
    optional={
        "audience": st.sampled_from(["staff", "customer", "root"]),
        "groups": st.lists(st.sampled_from(["loans", "*", "Board", ""])),
        "active": st.one_of(st.booleans(), st.text(max_size=3)),
    },
)


@given(st.lists(st.one_of(ROWS, st.none(), st.integers(), st.text()), max_size=8))
def test_rights_come_from_the_one_sound_row_that_names_the_user(raw: list[Any]) -> None:
    content = checked(raw)

    alone = [checked([row]).people for row in raw]
    claims = [key for people in alone for key in people]
    assert content.rows == len(raw)
    assert set(content.people) == {key for key in claims if claims.count(key) == 1}
    assert all(content.people[key] == people[key] for people in alone for key in people if key in content.people)
    assert all("*" not in person.groups for person in content.people.values())
