"""Who a channel's user is to the bank: the directory file, read row by row, and the least rights for everybody else.

Knows files and rows; where they come from (a person's editor, a SCIM service) and what a channel does with a person's
rights are known elsewhere (`scim.py`, the channels).
"""

import asyncio
import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_service.client import GROUP_PATTERN, MAXIMUM_GROUPS, Audience, Locale
from llm_service.logs import get_logger

CHECK_EVERY_SECONDS: Final = 2.0
STALE_AFTER_SECONDS: Final = 600.0
MAXIMUM_FILE_BYTES: Final = 64 * 1024 * 1024
SUFFIXES: Final = (".yaml", ".yml", ".json", ".csv")
CHANNEL_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,15}$"
GROUP_SEPARATOR: Final = ";"
_log = get_logger("gateway.directory")


@dataclass(frozen=True)
class Person:
    """A channel's user and their rights.

    `id` is the channel's own id of the user: what a channel hands to llm_service as `ConversationKey.user`, of which
    the records keep a keyed hash only, as of a web guest's id. It is in no log line, and so not in this repr.
    """

    id: str = field(repr=False)
    audience: Audience
    groups: tuple[str, ...]
    locale: Locale


@dataclass(frozen=True)
class RowError:
    """What is wrong with one row, by number from 1 and name of the field; never what stands in it."""

    row: int
    field: str
    code: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.field}: {self.code}"


@dataclass(frozen=True)
class DirectoryContent:
    """The rows that hold, by channel and user, and the errors of those that do not: they give nobody any right."""

    people: Mapping[tuple[str, str], Person] = field(repr=False)
    rows: int
    active: int
    errors: tuple[RowError, ...] = ()


class DirectoryUnreadable(Exception):
    """The directory file as a whole cannot be read; the message names the file and what to do."""


class DirectoryRow(BaseModel):
    """One person of the bank: `id` is the bank's own number of the person, `channels` their id in each channel."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
        coerce_numbers_to_str=True,
    )

    id: str = Field(min_length=1, max_length=256)
    channels: dict[
        Annotated[str, Field(pattern=CHANNEL_PATTERN)], Annotated[str, Field(min_length=1, max_length=256)]
    ] = Field(min_length=1)
    audience: Audience = "staff"
    groups: tuple[Annotated[str, Field(pattern=GROUP_PATTERN)], ...] = Field((), max_length=MAXIMUM_GROUPS)
    locale: Locale = "ko"
    active: bool = True


class Directory:
    """Answers who a channel's user is. Without a file everybody is a customer without groups."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the file, if one is named. Raises `DirectoryUnreadable`; wrong rows are logged and give no right."""
        self._file = file
        self._clock = clock
        self._lock = asyncio.Lock()
        self._content = DirectoryContent({}, rows=0, active=0)
        self._read_stamp: tuple[int, ...] = ()
        self._checked_at = self._good_at = clock()
        if file is not None:
            self._take(_stamp(file), read_directory(file))

    async def person_of(self, channel: str, external_id: str) -> Person:
        """The person behind a channel's user id. Unknown and deactivated people get the least: customer, no groups."""
        await self._follow_file()
        found = self._content.people.get((channel, normalised_id(external_id)))
        if found is None or self._is_stale():
            return Person(external_id, "customer", (), found.locale if found else "ko")
        return Person(external_id, found.audience, found.groups, found.locale)

    async def _follow_file(self) -> None:
        """Read a changed file. While it cannot be read the rows read last count on, but not for long."""
        if self._file is None or self._clock() - self._checked_at < CHECK_EVERY_SECONDS:
            return
        async with self._lock:
            if self._clock() - self._checked_at < CHECK_EVERY_SECONDS:
                return
            self._checked_at = self._clock()
            try:
                stamp = await asyncio.to_thread(_stamp, self._file)
                if stamp != self._read_stamp:
                    self._take(stamp, await asyncio.to_thread(read_directory, self._file))
                self._good_at = self._clock()
            except DirectoryUnreadable:
                _log.error("directory_unreadable", seconds_since_good=round(self._clock() - self._good_at))

    def _take(self, stamp: tuple[int, ...], content: DirectoryContent) -> None:
        self._read_stamp, self._content = stamp, content
        _log.info("directory_read", rows=content.rows, active=content.active, wrong_rows=_wrong_rows(content.errors))
        for error in content.errors[:20]:
            _log.error("directory_row_wrong", row=error.row, field=error.field, code=error.code)

    def _is_stale(self) -> bool:
        # Rights that nobody can take away any more are no rights: a person who left stands in an unreadable file.
        return self._clock() - self._good_at > STALE_AFTER_SECONDS


def read_directory(file: Path) -> DirectoryContent:
    """The rows of a YAML, JSON or CSV file, each checked for itself. Raises `DirectoryUnreadable`.

    YAML and JSON: {"people": [{"id", "channels": {channel: user id}, "audience", "groups", "locale", "active"}]}.
    CSV: a header with `id` and the same names, groups separated by semicolons; every other column is a channel.
    """
    if file.suffix not in SUFFIXES:
        raise DirectoryUnreadable(f"{file}: the directory is a file of {', '.join(SUFFIXES)}")
    try:
        if file.stat().st_size > MAXIMUM_FILE_BYTES:
            raise DirectoryUnreadable(f"{file}: larger than {MAXIMUM_FILE_BYTES:,} bytes")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DirectoryUnreadable(
            f"{file}: cannot be read ({type(error).__name__}); it is a UTF-8 file that the gateway may read"
        ) from None
    return checked(_raw_rows(file, text))


def checked(raw_rows: Iterable[Any]) -> DirectoryContent:
    """Rows as they were written, checked one by one. A user id that two rows claim is nobody's."""
    errors: list[RowError] = []
    rows: dict[int, DirectoryRow] = {}
    count = 0
    for count, raw in enumerate(raw_rows, start=1):
        try:
            rows[count] = DirectoryRow.model_validate(raw)
        except ValidationError as error:
            errors += (
                RowError(count, ".".join(map(str, wrong["loc"])) or "row", wrong["type"])
                for wrong in error.errors(include_url=False, include_context=False, include_input=False)
            )
    claims = Counter(key for row in rows.values() for key in _keys(row))
    people: dict[tuple[str, str], Person] = {}
    for number, row in rows.items():
        for key in _keys(row):
            if claims[key] > 1:
                errors.append(RowError(number, f"channels.{key[0]}", "claimed_by_two_rows"))
            else:
                people[key] = _person(row, key[1])
    return DirectoryContent(people, count, sum(row.active for row in rows.values()), tuple(errors))


def normalised_id(external_id: str) -> str:
    """A UUID (Entra's object id) in lower case; every other id is compared as it is, as Slack's are."""
    try:
        return str(UUID(external_id))
    except ValueError:
        return external_id


def _person(row: DirectoryRow, external_id: str) -> Person:
    if row.active:
        return Person(external_id, row.audience, tuple(sorted(set(row.groups))), row.locale)
    return Person(external_id, "customer", (), row.locale)


def _keys(row: DirectoryRow) -> list[tuple[str, str]]:
    return [(channel, normalised_id(external_id)) for channel, external_id in row.channels.items()]


def _raw_rows(file: Path, text: str) -> list[Any]:
    try:
        match file.suffix:
            case ".csv":
                reader = csv.DictReader(text.splitlines(), strict=True)
                if "id" not in (reader.fieldnames or ()):
                    raise DirectoryUnreadable(f"{file}: the first line names the columns, one of them `id`")
                return [_row_of_cells(cells) for cells in reader]
            case ".json":
                content = json.loads(text)
            case _:
                content = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, csv.Error) as error:
        # The parsers' own messages quote the file.
        raise DirectoryUnreadable(f"{file}: not well-formed ({type(error).__name__})") from None
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise DirectoryUnreadable(f'{file}: expected {{"people": [...]}}')
    return people


def _row_of_cells(cells: Mapping[str | Any, str | Any]) -> dict[str, Any]:
    given = {name: value for name, value in cells.items() if value}
    row: dict[str, Any] = {name: given.pop(name) for name in DirectoryRow.model_fields if name in given}
    if "groups" in row:
        row["groups"] = [name.strip() for name in row["groups"].split(GROUP_SEPARATOR) if name.strip()]
    return {**row, "channels": given}


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError as error:
        raise DirectoryUnreadable(f"{file}: cannot be read ({type(error).__name__})") from None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _wrong_rows(errors: Iterable[RowError]) -> int:
    return len({error.row for error in errors})
