"""`haechi purge`, `erase-person`, `keys rotate` and `audit …`: what a privacy officer does with the records.

Whom it concerns is read from standard input, never from an argument: arguments stay in shell histories and process
lists.
"""

import asyncio
import csv
import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer

from haechi.connection import platform
from haechi.key_rotation import Rotation, rotate
from haechi.later import later
from haechi.secrets import ensure_secrets
from haechi.settings import PlatformSettings
from llm_service.client import AuditEvent, AuditVerification, Erased, LlmServiceClient
from llm_service.settings import load_settings

audit_file = later("haechi.audit_file")

Returned = TypeVar("Returned")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]
DEFAULT_REASON = "data_subject_request"


class AuditFormat(StrEnum):
    """How audit rows are printed: one JSON object a line, or a table with a header."""

    JSONL = "jsonl"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    app.command("purge")(purge)
    app.command("erase-person")(erase_person)
    keys = typer.Typer(help="보관 키. The vault's keys.", no_args_is_help=True)
    keys.command("rotate")(rotate_keys)
    # A single command would otherwise become the group itself.
    keys.callback()(lambda: None)
    app.add_typer(keys, name="keys")
    audit = typer.Typer(help="감사 기록. The audit rows.", no_args_is_help=True)
    audit.command("list")(list_audit)
    audit.command("verify")(verify_audit)
    audit.command("export")(export_audit)
    app.add_typer(audit, name="audit")


def purge(as_json: AsJson = False) -> None:
    """보관 기간이 지난 것을 지금 삭제합니다. Delete what has outlived its time now."""
    purged = asdict(_call(lambda service: service.purge()))
    typer.echo(json.dumps(purged) if as_json else _counted("삭제 / deleted", purged))


def erase_person(
    channel: Annotated[str, typer.Option(help="Find by this channel's user id: web, slack, teams, api. / 채널")] = "",
    type_: Annotated[
        str, typer.Option("--type", help="Find by a value of this type: PHONE, KR_RRN ... / 값의 종류")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, as a code for the audit row. / 사유 코드")] = DEFAULT_REASON,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count. / 세기만 함")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. / 묻지 않음")] = False,
    as_json: AsJson = False,
) -> None:
    """한 사람의 대화를 모두 지웁니다. Delete every conversation of a person; id or value is asked for or piped in."""
    if bool(channel) == bool(type_):
        raise typer.BadParameter("give either --channel or --type")
    subject = _ask("값 / value" if type_ else "사용자 ID / user id")

    def erase(is_dry_run: bool) -> Erased:
        if channel:
            return _call(lambda service: service.erase_channel_user(channel, subject, reason, dry_run=is_dry_run))
        return _call(lambda service: service.erase_mentioned_value(type_, subject, reason, dry_run=is_dry_run))

    if not dry_run and not yes:
        typer.echo(_counted("지울 것 / to be deleted", asdict(erase(True))), err=True)
        typer.confirm("되돌릴 수 없습니다. 지울까요? / This cannot be undone. Delete?", abort=True, err=True)
    _show_erased(erase(dry_run), dry_run=dry_run, as_json=as_json)


def rotate_keys(as_json: AsJson = False) -> None:
    """보관 키를 바꾸고 값을 새 키로 옮깁니다. Rotate the vault's key; run again after an interruption."""
    ensure_secrets(PlatformSettings().home)
    rotation = _call(lambda service: rotate(service, load_settings()))
    if as_json:
        typer.echo(json.dumps(asdict(rotation)))
    else:
        _show_rotation(rotation)
    raise typer.Exit(1 if rotation.left else 0)


def list_audit(
    action: Annotated[str, typer.Option(help="Only this action, such as vault.restored. / 이 행위만")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first. / 개수")] = 100,
    before: Annotated[int, typer.Option(help="Only rows older than this id. / 이 번호보다 오래된 것만")] = 0,
    as_json: AsJson = False,
) -> None:
    """누가 무엇을 언제 했는지 보여줍니다. Who did what when: kinds, counts and pseudonyms."""
    events: list[AuditEvent] = _call(lambda service: service.audit_events(action or None, before or None, limit))
    if as_json:
        typer.echo(json.dumps([asdict(event) for event in events], ensure_ascii=False))
        return
    for event in events:
        subject = f"{event.subject_kind}:{event.subject_id[:12]}"
        typer.echo(
            f"{event.id:>7}  {event.at[:19]}  {event.actor[:12]:12}  {event.action:20}  {subject}  "
            f"{json.dumps(event.details, ensure_ascii=False)}"
        )


def verify_audit(
    expect: Annotated[
        str,
        typer.Option(help="POSITION:SHA256 kept from an earlier run; the rows up to it must be the same. / 보관한 값"),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="An export, verified without the platform. / 내보낸 파일", exists=True, dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """감사 기록이 고쳐지거나 빠지거나 뒤바뀌지 않았는지 확인합니다. Find any edited, removed or reordered audit row."""
    found, kept = _verified_file(file, expect) if file else asyncio.run(_verified(_position_and_hash(expect)))
    if as_json:
        typer.echo(json.dumps({**asdict(found), "expected_row_found": kept}))
    elif found.fault is None and kept:
        typer.echo(f"이상 없음 / the chain holds: {found.rows} rows, {found.last_position}:{found.last_sha256}")
    elif found.fault is None:
        typer.echo(f"보관한 값과 다릅니다 / the chain holds, but not with the row that was kept: {expect}", err=True)
    else:
        typer.echo(f"이상 발견 / the chain is broken at {found.position}: {found.fault}. docs/privacy.md", err=True)
    raise typer.Exit(0 if found.fault is None and kept else 1)


def export_audit(
    format_: Annotated[AuditFormat, typer.Option("--format", help="jsonl or csv. / 형식")] = AuditFormat.JSONL,
    after: Annotated[int, typer.Option(help="Only rows behind this position. / 이 위치 다음부터")] = -1,
) -> None:
    """감사 기록을 해시와 함께 내보냅니다. Print every audit row with its hash, in the order of the chain."""
    asyncio.run(_exported(sys.stdout, format_, after))


def _verified_file(path: Path, expect: str) -> tuple[AuditVerification, bool]:
    exported = audit_file.verify_file(path, _position_and_hash(expect))
    return AuditVerification(**vars(exported.verification)), exported.has_kept_row


async def _verified(expected: tuple[int, str] | None) -> tuple[AuditVerification, bool]:
    async with platform(PlatformSettings()) as found:
        verification = await found.llm_service.verify_audit()
        if expected is None:
            return verification, True
        rows = await found.llm_service.export_audit(expected[0] - 1, 1)
        return verification, [(row.position, row.sha256) for row in rows] == [expected]


async def _exported(out: TextIO, format_: AuditFormat, after: int) -> None:
    names = [field.name for field in fields(AuditEvent)]
    table = csv.DictWriter(out, names)
    if format_ is AuditFormat.CSV:
        table.writeheader()
    async with platform(PlatformSettings()) as found:
        while rows := await found.llm_service.export_audit(after):
            for row in rows:
                if format_ is AuditFormat.JSONL:
                    out.write(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True) + "\n")
                else:
                    table.writerow({**asdict(row), "details": json.dumps(row.details, sort_keys=True)})
            after = rows[-1].position


def _position_and_hash(expected: str) -> tuple[int, str] | None:
    if not expected:
        return None
    position, _, sha256 = expected.partition(":")
    if not position.isdigit() or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise typer.BadParameter("--expect is POSITION:SHA256, as `haechi audit verify` printed it")
    return int(position), sha256


def _ask(question: str) -> str:
    # A prompt only for people: what is piped in must not be repeated by it.
    answer = typer.prompt(question, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not answer.strip():
        raise typer.BadParameter(f"nothing came from standard input: {question}")
    return str(answer).strip()


def _call(ask: Callable[[LlmServiceClient], Awaitable[Returned]]) -> Returned:
    return asyncio.run(_on_platform(ask))


async def _on_platform(ask: Callable[[LlmServiceClient], Awaitable[Returned]]) -> Returned:
    async with platform(PlatformSettings()) as found:
        return await ask(found.llm_service)


def _show_erased(erased: Erased, *, dry_run: bool, as_json: bool) -> None:
    counted = asdict(erased)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **counted}))
        return
    typer.echo(_counted("지울 것 / to be deleted" if dry_run else "삭제 / deleted", counted))
    if not erased.datasets and not erased.adapters:
        typer.echo("학습 데이터와 어댑터: 해당 없음 / no data set and no adapter was made from these conversations")


def _show_rotation(rotation: Rotation) -> None:
    typer.echo(f"키 / key {rotation.active}: {rotation.moved}개 값을 옮겼습니다 / values moved")
    if rotation.dropped:
        typer.echo(f"버린 키 / keys dropped: {', '.join(rotation.dropped)}")
    if rotation.left:
        typer.echo(f"옛 키에 남은 값 / values left under old keys: {rotation.left}")
    if not rotation.keys_are_ours:
        typer.echo(
            "키는 외부에서 관리됩니다. docs/privacy.md를 보세요. / The keys are kept elsewhere; see docs/privacy.md."
        )


def _counted(title: str, counts: dict[str, Any]) -> str:
    rows = [f"  {name:14} {len(value) if isinstance(value, list) else value}" for name, value in counts.items()]
    return "\n".join([title, *rows])
