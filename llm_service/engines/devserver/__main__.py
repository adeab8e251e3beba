"""`python -m llm_service.engines.devserver`: serves a small model on a CPU the way TGI and vLLM serve a large one.

With --scripted it needs no model at all, and no PyTorch.
"""

import argparse
import os
from pathlib import Path

import uvicorn

from llm_service.engines.devserver.app import create_app
from llm_service.engines.devserver.orders import Writer
from llm_service.engines.devserver.scripted import ScriptedWriter
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind

GRACE_SECONDS = 30
LOG = get_logger(__name__)


def main() -> None:
    """Serve until told to stop; orders being written are finished first."""
    arguments = _arguments()
    configure_logging("devserver")
    leave_no_text_behind()
    # No look at the hub, whatever a library would like to check there; read when they are imported, below.
    os.environ["HF_HUB_OFFLINE"] = "1"
    writer = _writer(arguments)
    LOG.warning(
        "this is a development server, a stand-in for a model server with a GPU",
        model=writer.model_id,
        adapters=len(arguments.adapter),
        scripted=arguments.scripted is not None,
    )
    uvicorn.run(
        create_app(writer, arguments.tgi_silent_base),
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=4096,
    )


def _writer(arguments: argparse.Namespace) -> Writer:
    if arguments.scripted is not None:
        scripted = ScriptedWriter(
            arguments.model_id or "scripted",
            arguments.scripted,
            arguments.scripted_first_token_seconds,
            arguments.maximum_running or 4096,
        )
        scripted.directories.update(arguments.adapter)
        return scripted
    # Imported here, so that the scripted mode starts at once and without PyTorch.
    from llm_service.engines.devserver.model_writer import (  # noqa: PLC0415
        MAXIMUM_RUNNING,
        MAXIMUM_WAITING,
        ModelWriter,
    )
    from llm_service.engines.devserver.resident import ResidentModel  # noqa: PLC0415

    model = ResidentModel(arguments.base)
    for name, directory in arguments.adapter:
        model.load(name, directory)
    waiting = MAXIMUM_WAITING if arguments.maximum_waiting is None else arguments.maximum_waiting
    return ModelWriter(
        model, arguments.model_id or arguments.base.name, arguments.maximum_running or MAXIMUM_RUNNING, waiting
    )


def _adapter(told: str) -> tuple[str, str]:
    name, separator, directory = told.partition("=")
    if not (name and separator and directory):
        raise argparse.ArgumentTypeError("an adapter is given as name=directory")
    return name, directory


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m llm_service.engines.devserver", description=__doc__)
    parser.add_argument("--base", type=Path, help="directory of the base model (config, tokenizer, safetensors)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-id", default="", help="name of the base model; by default its directory's name")
    parser.add_argument(
        "--adapter", type=_adapter, action="append", default=[], metavar="NAME=DIR", help="loaded at start; repeatable"
    )
    parser.add_argument(
        "--tgi-silent-base",
        action="store_true",
        help="as TGI: an unknown adapter is answered by the base with 200, none is listed, none can be loaded",
    )
    parser.add_argument("--maximum-running", type=int, help="orders written at the same time")
    parser.add_argument("--maximum-waiting", type=int, help="orders that may wait; more are answered with 429")
    parser.add_argument(
        "--scripted", type=float, metavar="TOKENS_PER_SECOND", help="no model: a fixed text by a fixed clock"
    )
    parser.add_argument("--scripted-first-token-seconds", type=float, default=0.0, metavar="SECONDS")
    arguments = parser.parse_args()
    if arguments.base is None and arguments.scripted is None:
        parser.error("--base is needed unless --scripted is given")
    return arguments


if __name__ == "__main__":
    main()
