"""`haechi adapters`: versions registered, approved by somebody else, promoted, watched and rolled back.

Everything is asked of llm_service, but for the files of a registration, which are laid where it looks for them.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import uuid4

import typer

from haechi.batch import CommandFailed
from haechi.connection import platform
from haechi.settings import PlatformSettings
from haechi.texts import sentence
from llm_service.adapter_client import AdapterClient, AdapterStatus, PromotionView, Target
from llm_service.client import PERSON_HEADER, ROLES_HEADER
from llm_service.settings import load_settings

Returned = TypeVar("Returned")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON. / JSON으로 출력")]
Person = Annotated[str, typer.Option("--person", help="Who acts; the user of this machine if not given. / 담당자")]
Name = Annotated[str, typer.Argument(metavar="ADAPTER", help="Name of a version. / 어댑터 이름")]
Share = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the conversations. / 대화 비율")]

ROLES = "reviewer,approver,trainer,admin"
"""Who holds the service token of the machine may do everything; that nobody promotes alone holds here as well."""
POLL_SECONDS = 0.25
KEY_CHARACTERS = 12


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="어댑터의 등록, 승격, 되돌리기. Adapters: versions and who serves.", no_args_is_help=True)
    for name, command in (
        ("list", list_versions),
        ("show", show),
        ("status", status),
        ("register", register_version),
        ("propose", propose),
        ("approve", approve),
        ("promote", promote),
        ("canary", canary),
        ("rollback", roll_back),
        ("reject", reject),
    ):
        group.command(name)(command)
    app.add_typer(group, name="adapters")


def list_versions(person: Person = "", as_json: AsJson = False) -> None:
    """등록된 어댑터를 보여줍니다. Every version, the newest first."""
    found = _call(person, lambda adapters: adapters.adapters())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        typer.echo(f"{one.name:40} {one.state:10} {','.join(one.aliases):16} {one.base_model}  {one.created_at[:16]}")


def show(name: Name, person: Person = "", as_json: AsJson = False) -> None:
    """어댑터 하나를 자세히 보여줍니다. One version: files, evaluation, proposals."""
    found = _call(person, lambda adapters: adapters.adapter(name))
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    for field, value in asdict(found.adapter).items():
        typer.echo(f"{field:16} {value}")
    typer.echo(f"{'evaluation':16} {json.dumps(found.evaluation, ensure_ascii=False)}")
    for proposal in found.proposals:
        approver = proposal.approver[:KEY_CHARACTERS] if proposal.approver else "-"
        typer.echo(f"proposal {proposal.id}  {proposal.proposer[:KEY_CHARACTERS]}  approver {approver}")


def status(person: Person = "", as_json: AsJson = False) -> None:
    """지금 서비스 중인 어댑터와 모델 서버를 보여줍니다. Who serves, on which replicas, what the watch sees."""
    _print_status(_call(person, lambda adapters: adapters.status()), as_json=as_json)


def register_version(
    directory: Annotated[
        str, typer.Argument(help="As the trainer left it, or s3://… or oci://…@sha256:…. / 학습 결과 폴더")
    ],
    family: Annotated[str, typer.Option(help="What its name begins with: bank-qa. / 이름의 앞부분")],
    dataset: Annotated[str, typer.Option(help="Version of the data set. / 데이터셋")],
    run: Annotated[str, typer.Option(help="Id of the training run. / 학습 번호")],
    base: Annotated[str, typer.Option(help="Name of the base model. / 기반 모델")],
    base_revision: Annotated[str, typer.Option(help="Its revision. / 기반 모델의 판")],
    trained_by: Annotated[str, typer.Option(help="Who trained it, if no run of this platform. / 학습한 사람")] = "",
    evaluation: Annotated[str, typer.Option(help="Id of its evaluation. / 평가 번호")] = "",
    person: Person = "",
) -> None:
    """학습된 어댑터를 등록합니다. Check a directory with its probes.json and take it in as a version."""
    is_remote = directory.startswith(("s3://", "oci://"))
    staged = Path(uuid4().hex) if is_remote else _stage(Path(directory))
    body = {
        "directory": staged.name,
        "source": directory if is_remote else "",
        "family": family,
        "base_model": base,
        "base_revision": base_revision,
        "dataset_version": dataset,
        "training_run_id": run,
        "trained_by": trained_by or person or getuser(),
        "evaluation_id": evaluation,
    }
    try:
        typer.echo(_call(person, lambda adapters: adapters.register(body)))
    finally:
        if not is_remote:
            shutil.rmtree(staged, ignore_errors=True)


def propose(name: Name, person: Person = "") -> None:
    """승격을 제안합니다. Ask for a version to be promoted."""
    typer.echo(_call(person, lambda adapters: adapters.propose(name)))


def approve(
    name: Name,
    proposal: Annotated[str, typer.Option(help="Which one; the only open one if not given. / 제안 번호")] = "",
    person: Person = "",
) -> None:
    """다른 사람의 제안을 승인합니다. Agree to what somebody else proposed, trained and registered."""

    async def agree(adapters: AdapterClient) -> str:
        waiting = [one.id for one in (await adapters.adapter(name)).proposals if one.approver is None]
        if not proposal and len(waiting) != 1:
            raise CommandFailed("proposal_unclear", sentence("adapters_proposal_unclear", count=len(waiting)))
        return await adapters.approve(name, proposal or waiting[0])

    typer.echo(_call(person, agree))


def promote(
    name: Name, person: Person = "", wait: Annotated[bool, typer.Option(help="Until it serves.")] = True
) -> None:
    """승인된 어댑터를 모든 대화에 씁니다. An approved version for every conversation, once all replicas proved it."""
    _promote(name, "active", None, person, wait=wait)


def canary(
    name: Annotated[str, typer.Argument(metavar="[ADAPTER]", help="None changes the share only. / 어댑터 이름")] = "",
    share: Share = 0.05,
    person: Person = "",
    wait: Annotated[bool, typer.Option(help="Until it serves.")] = True,
) -> None:
    """승인된 어댑터를 일부 대화에만 씁니다. An approved version for a share of the conversations."""
    if name:
        _promote(name, "canary", share, person, wait=wait)
        return
    _print_status(_call(person, lambda adapters: adapters.set_share(share)), as_json=False)


def roll_back(
    canary_only: Annotated[bool, typer.Option("--canary", help="Take the canary out. / 카나리만")] = False,
    reason: Annotated[str, typer.Option(help="Why, as a code. / 사유 코드")] = "operator",
    person: Person = "",
) -> None:
    """이전 어댑터로 되돌립니다. The previous version is active again at once; loading is cancelled."""
    target: Target = "canary" if canary_only else "active"
    _print_status(_call(person, lambda adapters: adapters.roll_back(target, reason)), as_json=False)


def reject(
    name: Name, reason: Annotated[str, typer.Option(help="Why, as a code. / 사유 코드")], person: Person = ""
) -> None:
    """다시는 쓰지 않을 어댑터로 표시합니다. A version that will never serve."""
    _call(person, lambda adapters: adapters.reject(name, reason))
    typer.echo(f"{name}: rejected")


def _promote(name: str, target: Target, share: float | None, person: str, *, wait: bool) -> None:
    async def bring(adapters: AdapterClient) -> PromotionView | None:
        promotion_id = await adapters.promote(name, target, share)
        while wait:
            found = next(one for one in (await adapters.status()).promotions if one.id == promotion_id)
            if found.state != "loading":
                return found
            await asyncio.sleep(POLL_SECONDS)
        return None

    started = time.perf_counter()
    ended = _call(person, bring)
    if ended is None:
        typer.echo(sentence("adapters_loading", adapter=name))
    elif ended.state == "serving":
        typer.echo(sentence("adapters_serving", adapter=name, seconds=time.perf_counter() - started))
    else:
        lacking = "; ".join(f"{address} {reason}" for address, reason in ended.lacking.items())
        raise CommandFailed(ended.reason or ended.state, sentence("adapters_not_promoted", lacking=lacking or "-"))


def _stage(directory: Path) -> Path:
    """A copy below `incoming`, under a name nobody else takes; links stay links, so that the service refuses them."""
    target = load_settings().adapters_root / "incoming" / f"{uuid4().hex}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(directory, target, symlinks=True)
    return target


def _call(person: str, ask: Callable[[AdapterClient], Awaitable[Returned]]) -> Returned:
    headers = {PERSON_HEADER: person or getuser(), ROLES_HEADER: ROLES}

    async def asked() -> Returned:
        async with platform(PlatformSettings()) as found:
            return await ask(AdapterClient(found.llm_service, headers))

    return asyncio.run(asked())


def _print_status(found: AdapterStatus, *, as_json: bool) -> None:
    typer.echo(json.dumps(asdict(found), ensure_ascii=False) if as_json else "\n".join(_lines(found)))


def _lines(found: AdapterStatus) -> Iterator[str]:
    yield f"active     {found.active or 'base'}"
    yield f"previous   {(found.previous or 'base') if found.can_roll_back else '-'}"
    yield f"canary     {found.canary or '-'}" + (f"  {found.share:.0%}" if found.canary else "")
    for replica in found.replicas:
        state = "ready" if replica.is_ready else "not ready"
        lacks = "".join(f"  lacks {name}: {reason}" for name, reason in replica.lacks.items())
        yield f"replica    {replica.address} ({replica.dialect}) {state}: {', '.join(replica.carries) or '-'}{lacks}"
    for promotion in found.promotions:
        yield f"promotion  {promotion.created_at[:19]} {promotion.adapter} {promotion.target} " + (
            f"{promotion.state} {promotion.reason}".rstrip()
        )
    rule = found.rule
    yield f"watch      from {rule['minimum_turns']:.0f} turns, margin {rule['margin']:.0%}, z {rule['z']}"
    for one in found.comparisons:
        yield (
            f"  {one.measure:12} {one.adapter} {one.events}/{one.turns}  {one.against} "
            f"{one.events_against}/{one.turns_against}  [{one.lower:+.3f}, {one.upper:+.3f}]  {one.verdict}"
        )
