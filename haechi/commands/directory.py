"""`haechi directory`: who the users of Slack and Teams are; checked before it counts, and taken over from SCIM."""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bot.gateway.directory import CHANNEL_PATTERN, DirectoryContent, DirectoryUnreadable, checked, read_directory
from bot.gateway.scim import ScimMapping, ScimUnreadable, fetch_resources, people_of, read_resources
from bot.gateway.settings import load_settings
from haechi.batch import CommandFailed
from llm_service.client import GROUP_PATTERN

TOKEN_VARIABLE: Final = "HAECHI_SCIM_TOKEN"  # noqa: S105 - the name of the variable, not a token
ADDRESS: Final = re.compile(r"https?://")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    directory = typer.Typer(help="사내 사용자 목록. Who the users of Slack and Teams are.", no_args_is_help=True)
    directory.command("check")(check)
    directory.command("import")(import_people)
    app.add_typer(directory, name="directory")


def check(
    file: Annotated[Path | None, typer.Argument(help="The file; HAECHI_DIRECTORY_FILE without one. / 파일")] = None,
    as_json: AsJson = False,
) -> None:
    """사용자 목록을 검사합니다. Read the directory file and name every row that is wrong; status 1 where one is."""
    _show(_read(_file_or_setting(file)), as_json)


def import_people(
    sources: Annotated[list[str], typer.Argument(help="SCIM list responses as JSON files, or the service's URL.")],
    channel: Annotated[list[str], typer.Option(help="slack=id: the attribute with the id in a channel. / 채널=속성")],
    group: Annotated[
        list[str] | None, typer.Option(help='"여신심사부=loans": our name of a group. / 그룹 이름')
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; HAECHI_DIRECTORY_FILE without one.")] = None,
    as_json: AsJson = False,
) -> None:
    """SCIM에서 사용자와 그룹을 가져옵니다. Write the directory from Users and Groups; HAECHI_SCIM_TOKEN for URLs."""
    target = _file_or_setting(output)
    if target.suffix != ".json":
        raise CommandFailed("directory_not_json", f"{target}: an import writes JSON; name a file that ends in .json")
    mapping = ScimMapping(_pairs(channel, CHANNEL_PATTERN, None), _pairs(group or [], None, GROUP_PATTERN))
    try:
        imported = people_of(_resources_of(sources), mapping)
    except ScimUnreadable as error:
        raise CommandFailed("scim_unreadable", str(error)) from None
    content = checked(imported.rows)
    if not content.people and target.exists():
        raise CommandFailed("scim_empty", f"nobody in it has an id in a channel; {target} is left as it was")
    _write(target, {"people": list(imported.rows)})
    left_out = {"without_channel": imported.without_channel, "unmapped_groups": list(imported.unmapped_groups)}
    _show(content, as_json, left_out)


def _resources_of(sources: Sequence[str]) -> list[dict[str, Any]]:
    token = os.environ.get(TOKEN_VARIABLE, "")
    found: list[dict[str, Any]] = []
    for source in sources:
        found += asyncio.run(fetch_resources(source, token)) if ADDRESS.match(source) else read_resources(Path(source))
    return found


def _pairs(given: Sequence[str], key_pattern: str | None, value_pattern: str | None) -> dict[str, str]:
    pairs = {}
    for one in given:
        key, sign, value = one.rpartition("=")
        right = bool(sign and key and value)
        right = right and (key_pattern is None or re.fullmatch(key_pattern, key) is not None)
        if not right or (value_pattern is not None and re.fullmatch(value_pattern, value) is None):
            raise typer.BadParameter(f"expected NAME=VALUE ({key_pattern or value_pattern})")
        pairs[key] = value
    return pairs


def _file_or_setting(named: Path | None) -> Path:
    file = named or load_settings().directory_file
    if file is None:
        raise CommandFailed("directory_missing", "name a file, or set HAECHI_DIRECTORY_FILE")
    return file


def _read(file: Path) -> DirectoryContent:
    try:
        return read_directory(file)
    except DirectoryUnreadable as error:
        raise CommandFailed("directory_unreadable", str(error)) from None


def _write(file: Path, content: dict[str, Any]) -> None:
    """Replace the file in one step: the gateway never reads half of it."""
    written = file.with_name(f".{file.name}.new")
    written.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    written.replace(file)


def _show(content: DirectoryContent, as_json: bool, left_out: dict[str, Any] | None = None) -> None:
    told = {"rows": content.rows, "active": content.active, "user_ids": len(content.people), **(left_out or {})}
    errors = [{"row": error.row, "field": error.field, "code": error.code} for error in content.errors]
    if as_json:
        typer.echo(json.dumps({**told, "errors": errors}, ensure_ascii=False))
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in told.items()))
        for error in content.errors:
            typer.secho(str(error), fg="red", err=True)
    raise typer.Exit(1 if errors else 0)
