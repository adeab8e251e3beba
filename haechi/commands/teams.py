"""`haechi teams`: what an installation in Microsoft Teams needs before it runs: keys of the inbox, the app package."""

from pathlib import Path
from typing import Annotated

import typer

from bot.gateway.teams.app_package import PackageError, PackageValues, app_package
from haechi.batch import CommandFailed
from haechi.later import later
from haechi.texts import sentence

inbox = later("bot.teams_door.inbox")

KEY_FILES = {"public": "haechi_teams_inbox_public_key", "private": "haechi_teams_inbox_private_keys"}
Directory = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the two files are put. / 키를 둘 폴더")]
AppId = Annotated[str, typer.Option("--app-id", help="The bot's Microsoft App ID. / 봇의 앱 ID")]
Bank = Annotated[str, typer.Option("--bank", help="The bank's name as people see it. / 은행 이름")]
Website = Annotated[str, typer.Option("--website", help="https address with /privacy and /terms. / 홈페이지 주소")]
Version = Annotated[str, typer.Option("--version", help="Raised with every upload. / 앱 버전")]
Out = Annotated[Path, typer.Option("--out", help="The zip to write. / 만들 파일")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    group = typer.Typer(help="Teams 설치 준비. What an installation in Teams needs.", no_args_is_help=True)
    group.command("keys")(keys)
    group.command("package")(package)
    app.add_typer(group, name="teams")


def keys(folder: Directory) -> None:
    """수신함 열쇠 한 쌍을 만듭니다. A pair of keys for the inbox: public for the door, private for the worker."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = {half: folder / name for half, name in KEY_FILES.items()}
    if any(path.exists() for path in paths.values()):
        raise CommandFailed("teams_keys_exist", sentence("teams_keys_exist", folder=folder))
    made = inbox.new_keys()
    for half, value in (("public", made.public), ("private", made.private)):
        paths[half].touch(mode=0o600)
        paths[half].write_text(value, encoding="ascii")
    typer.echo(sentence("teams_keys_made", public=paths["public"], private=paths["private"]))


def package(
    app_id: AppId, bank: Bank, website: Website, version: Version = "1.0.0", out: Out = Path("haechi-teams.zip")
) -> None:
    """Teams 관리자가 올릴 앱 패키지를 만듭니다. The app package that a Teams administrator uploads."""
    try:
        packed = app_package(PackageValues(app_id, bank, website, version))
    except PackageError as error:
        raise CommandFailed("teams_package_refused", str(error)) from None
    out.write_bytes(packed)
    typer.echo(sentence("teams_package_made", path=out, size=len(packed)))
