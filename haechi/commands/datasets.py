"""`haechi dataset`: curated files into the review queue, frozen versions out of what was approved."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from haechi.commands.review import AsJson, Person, call
from haechi.later import later
from llm_service.learning_client import DatasetView
from llm_service.settings import load_settings
from trainer.curated import read_curated
from trainer.draft_kinds import DraftKind

drafting, worker = later("trainer.drafting"), later("trainer.worker")
Name = Annotated[str, typer.Argument(help="Name of a version, such as bank-qa-v3. / 데이터셋 이름")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="학습 데이터셋. Frozen datasets of approved examples.", no_args_is_help=True)
    group.command("build")(build)
    group.command("list")(list_datasets)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("import")(import_file)
    group.command("draft")(draft_exercises)
    app.add_typer(group, name="dataset")


def build(
    general_share: Annotated[float, typer.Option(help="Share of general examples. / 일반 예문 비율")] = 0.5,
    heldout_share: Annotated[float, typer.Option(help="Share of groups held out. / 평가용으로 남길 비율")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of split and choice. / 난수 씨앗")] = 7,
    queued: Annotated[bool, typer.Option("--queue", help="Leave it to a worker. / 작업자에게 맡김")] = False,
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """승인된 예문으로 데이터셋을 고정합니다. Freeze the next version from the approved examples."""
    settings: dict[str, Any] = {"general_share": general_share, "heldout_share": heldout_share, "seed": seed}
    wanted = call(person, lambda learning: learning.request_dataset(settings))
    if not queued:
        worker.do_here(load_settings(), "build_dataset", wanted.id)
    _print(call(person, lambda learning: learning.dataset(wanted.name)), as_json=as_json)


def list_datasets(person: Person = "", as_json: AsJson = False) -> None:
    """데이터셋을 보여줍니다. Every version, the newest first."""
    found = call(person, lambda learning: learning.datasets())
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in found], ensure_ascii=False))
        return
    for version in found:
        rows = version.statistics.get("rows", "—")
        typer.echo(f"{version.name:16} {version.state:10} {rows:>6}  {(version.content_sha256 or '')[:12]}")


def show(name: Name, person: Person = "", as_json: AsJson = False) -> None:
    """한 데이터셋의 통계를 보여줍니다. One version with its statistics."""
    _print(call(person, lambda learning: learning.dataset(name)), as_json=as_json)


def diff(
    name: Name,
    against: Annotated[str, typer.Argument(help="The version it is compared with. / 비교할 데이터셋")],
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """두 데이터셋의 차이를 보여줍니다. Rows that came, went, changed, or moved to the other split."""
    found = call(person, lambda learning: learning.dataset_difference(name, against))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for sign, name_of_rows in (("+", "added"), ("-", "removed"), ("*", "changed"), ("~", "moved")):
        for row in found[name_of_rows]:
            typer.echo(f"{sign} {row['row_id'][:12]}  {row['kind']:20} {row['split']}")


def import_file(
    path: Annotated[
        Path, typer.Argument(help="Alpaca, chat or QA_text file. / 예문 파일", exists=True, dir_okay=False)
    ],
    licence: Annotated[str, typer.Option(help="Whose text it is: bank, CC-BY-4.0 ... / 사용 허락")],
    kind: Annotated[str, typer.Option(help="curated, or general for general ability. / 종류")] = "curated",
    with_passages: Annotated[
        bool,
        typer.Option("--with-passages", help="Ask each with what search finds for it, as serving would. / 문서와 함께"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read the file. / 읽기만 함")] = False,
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """예문 파일을 검토 목록에 올립니다. Put a curated file into the review queue; nothing is trained on unreviewed."""
    read = read_curated(path, kind, licence)
    count = load_settings().passages_per_answer if with_passages else 0
    added = [] if dry_run else call(person, lambda learning: learning.add_drafts(read.drafts, passages=count))
    told = {
        "read": len(read.drafts),
        "added": sum(one is not None for one in added),
        "known": sum(one is None for one in added),
        "bad_rows": [asdict(row) for row in read.bad_rows],
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(f"읽음 / read {told['read']}, 추가 / added {told['added']}, 이미 있음 / known {told['known']}")
    for row in read.bad_rows:
        typer.echo(f"  {row.number}: {row.reason}")
    for reason, count in Counter(row.reason for row in read.bad_rows).items():
        typer.echo(f"제외 / left out {count}: {reason}")


def draft_exercises(
    kind: Annotated[DraftKind, typer.Argument(help="What to make out of the documents. / 만들 예문의 종류")],
    limit: Annotated[int, typer.Option(min=1, help="How many at most. / 최대 개수")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of every choice. / 난수 씨앗")] = 7,
    as_json: AsJson = False,
) -> None:
    """문서로 연습 예문을 만들어 검토 목록에 올립니다. Draft exercises from the documents into the review queue."""
    drafted = drafting.draft(load_settings(), kind, limit, seed)
    if as_json:
        typer.echo(json.dumps(asdict(drafted)))
        return
    typer.echo(f"만듦 / built {drafted.built}, 추가 / added {drafted.added}")


def _print(version: DatasetView, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(version), ensure_ascii=False))
        return
    typer.echo(f"{version.name}  {version.state}  {version.content_sha256 or version.error_code or ''}".rstrip())
    for name, value in version.statistics.items():
        typer.echo(f"  {name:14} {json.dumps(value, ensure_ascii=False)}")
