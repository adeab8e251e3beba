"""`haechi directory`: checks say which row is wrong, an import writes what a check then passes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from haechi.cli import build_app

SCIM = {
    "users": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "Resources": [
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "U1", "active": True},
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "U2", "active": False},
        ],
    },
    "groups": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "Resources": [
            {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "id": "g1",
                "displayName": "여신심사부",
                "members": [{"value": "U1"}],
            }
        ],
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAECHI_DIRECTORY_FILE", str(tmp_path / "directory.json"))
    (tmp_path / "scim.json").write_text(json.dumps(SCIM), encoding="utf-8")
    return tmp_path


def test_an_import_writes_a_directory_that_the_check_passes(folder: Path) -> None:
    command = ["directory", "import", str(folder / "scim.json"), "--channel", "slack=id", "--group", "여신심사부=loans"]
    imported = CliRunner().invoke(build_app(), [*command, "--json"])
    again = CliRunner().invoke(build_app(), ["directory", "check", "--json"])

    assert imported.exit_code == 0, imported.output
    assert json.loads(imported.output)["unmapped_groups"] == []
    assert json.loads(again.output) == {"rows": 2, "active": 1, "user_ids": 2, "errors": []}
    written = json.loads((folder / "directory.json").read_text(encoding="utf-8"))
    assert [(row["id"], row["groups"], row["active"]) for row in written["people"]] == [
        ("U1", ["loans"], True),
        ("U2", [], False),
    ]


def test_an_import_of_nobody_leaves_the_directory_as_it_was(folder: Path) -> None:
    (folder / "directory.json").write_text('{"people": []}', encoding="utf-8")

    result = CliRunner().invoke(
        build_app(), ["directory", "import", str(folder / "scim.json"), "--channel", "teams=externalId"]
    )

    assert (result.exit_code, (folder / "directory.json").read_text(encoding="utf-8")) == (1, '{"people": []}')


def test_a_check_names_the_wrong_row_and_fails(folder: Path) -> None:
    (folder / "directory.json").write_text('{"people": [{"id": "1"}]}', encoding="utf-8")

    result = CliRunner().invoke(build_app(), ["directory", "check"])

    assert result.exit_code == 1
    assert "row 1: channels: missing" in result.output


@pytest.mark.parametrize("wrong", [["--channel", "slack"], ["--channel", "Slack=id"], ["--group", "부서=Loans"]])
def test_a_mapping_that_cannot_be_meant_is_refused(folder: Path, wrong: list[str]) -> None:
    command = ["directory", "import", str(folder / "scim.json"), "--channel", "slack=id", *wrong]

    assert CliRunner().invoke(build_app(), command).exit_code == 2
