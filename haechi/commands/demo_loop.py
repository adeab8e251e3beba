"""`haechi demo-loop`: the learning loop from a wrong answer to an adapter and back, on a platform of its own."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from haechi.settings import PlatformSettings
from haechi.supervisor import PROJECT

MODELS = PROJECT / ".setup" / "tiny-base"
LEAST_EXACT = 0.8


def demo_loop(
    products: Annotated[int, typer.Option(min=2, max=10, help="How many invented products. / 상품 수")] = 2,
    folder: Annotated[Path | None, typer.Option(help="A new folder to keep it in. / 새 폴더")] = None,
) -> None:
    """틀린 답이 고쳐지기까지를 처음부터 끝까지 보여줍니다. Show the learning loop, from a wrong answer and back."""
    home = folder or PlatformSettings().home / "demo-loop" / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if not asyncio.run(_succeeded(home.resolve(), products)):
        raise typer.Exit(1)


async def _succeeded(home: Path, products: int) -> bool:
    # What trains loads PyTorch: seconds that no other command should pay.
    from haechi.demo_loop.material import material  # noqa: PLC0415
    from haechi.demo_loop.scene import scene, tiny_base  # noqa: PLC0415
    from haechi.demo_loop.story import Story  # noqa: PLC0415
    from haechi.demo_loop.telling import PLOT_FILE, Printer, draw_loss  # noqa: PLC0415

    printer = Printer(Console())
    printer.say("starting", home=home)
    began = time.perf_counter()
    async with scene(home, tiny_base(MODELS)) as stage:
        printer.say("started", seconds=time.perf_counter() - began)
        told = await Story(stage, material(products), printer).tell()
        plot = draw_loss(told.points, stage.run_directory(told.run.id) / PLOT_FILE)
    printer.end(told, plot)
    return told.exact("adapter") >= LEAST_EXACT and not told.promoted.reading.failed
