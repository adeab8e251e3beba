"""`haechi train`: trainings asked for, watched and cancelled; what becomes of an adapter is decided elsewhere."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from haechi.commands.review import AsJson, Person, call
from haechi.later import later
from llm_service.learning_client import TrainingRunView
from llm_service.settings import load_settings

worker = later("trainer.worker")
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run. / 학습 번호")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="어댑터 학습. Training of adapters.", no_args_is_help=True)
    group.command("request")(request)
    group.command("list")(list_runs)
    group.command("show")(show)
    group.command("cancel")(cancel)
    group.command("log")(log)
    app.add_typer(group, name="train")


def request(
    dataset: Annotated[str, typer.Option(help="Name of a frozen dataset. / 데이터셋 이름")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe. / 학습 방법")],
    base: Annotated[str, typer.Option(help="Name of a base model, a folder in `bases`. / 기반 모델")],
    here: Annotated[bool, typer.Option("--here", help="Train in this process, not in a worker. / 여기서 학습")] = False,
    person: Person = "",
    as_json: AsJson = False,
) -> None:
    """학습을 요청합니다. Ask for a training; a worker takes it."""
    run = call(person, lambda learning: learning.request_training(dataset, recipe, base))
    if here:
        worker.do_here(load_settings(), "train", run.id)
        run = call(person, lambda learning: learning.training_run(run.id))
    _print(run, as_json=as_json)


def list_runs(person: Person = "", as_json: AsJson = False) -> None:
    """학습을 보여줍니다. Runs, the newest first."""
    runs = call(person, lambda learning: learning.training_runs())
    if as_json:
        typer.echo(json.dumps([asdict(run) for run in runs], ensure_ascii=False))
        return
    for run in runs:
        typer.echo(f"{run.id}  {run.state:10} {run.progress:5.0%}  {run.dataset:14} {run.recipe:12} {run.base}")


def show(run_id: RunId, person: Person = "", as_json: AsJson = False) -> None:
    """한 학습의 상태를 보여줍니다. One run as it stands."""
    _print(call(person, lambda learning: learning.training_run(run_id)), as_json=as_json)


def cancel(run_id: RunId, person: Person = "", as_json: AsJson = False) -> None:
    """학습을 취소합니다. Cancel a run: at once while it waits, at its next step while it runs."""
    _print(call(person, lambda learning: learning.cancel_training(run_id)), as_json=as_json)


def log(run_id: RunId, person: Person = "", as_json: AsJson = False) -> None:
    """학습 기록과 손실을 보여줍니다. The newest log lines, and the curve."""
    lines = call(person, lambda learning: learning.training_log(run_id))
    points = call(person, lambda learning: learning.training_points(run_id))
    if as_json:
        typer.echo(json.dumps({"lines": lines.lines, "points": [asdict(point) for point in points]}))
        return
    for line in lines.lines:
        typer.echo(line)
    for point in points:
        heldout = f"  held out {point.heldout_loss:.4f}" if point.heldout_loss is not None else ""
        typer.echo(f"{point.step:>6}  {point.loss if point.loss is not None else '—'}{heldout}")


def _print(run: TrainingRunView, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(run), ensure_ascii=False))
        return
    typer.echo(f"{run.id}  {run.state}  {run.stage}  {run.progress:.0%}  {run.dataset} · {run.recipe} · {run.base}")
    if run.error_code:
        typer.echo(f"  {run.error_code}: {run.error}")
    for name, value in run.outcome.items():
        typer.echo(f"  {name:10} {json.dumps(value, ensure_ascii=False)}")
