"""`haechi secrets`: what a deployment in containers is started with."""

from pathlib import Path
from typing import Annotated

import typer

from haechi.deployment_secrets import write_deployment_secrets


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    app.command("secrets")(write_secrets)


def write_secrets(
    directory: Annotated[Path, typer.Argument(help="New or empty directory. / 새 디렉터리")],
    postgresql: Annotated[str, typer.Option(help="host:port of PostgreSQL. / PostgreSQL 주소")] = "postgresql:5432",
    redis: Annotated[str, typer.Option(help="host:port of Redis. / Redis 주소")] = "redis:6379",
) -> None:
    """배포용 비밀 값을 파일로 만듭니다. Write fresh secrets of a deployment, a file each (compose, Kubernetes)."""
    written = write_deployment_secrets(directory, postgresql, redis)
    typer.echo(f"{len(written)} files: {directory}")
