"""The `haechi` command: one Typer app whose commands come from the entry-point group `haechi.commands`."""

import os
import sys
from importlib.metadata import entry_points

import typer

from haechi.failures import reports_failures


def build_app() -> typer.Typer:
    """The command with every installed package's contribution, in the order of their names."""
    app = typer.Typer(
        help="해치 — 근거를 밝히는 은행 챗봇 플랫폼 / Haechi, the bank's cited-answer platform.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks print locals, and locals can be what a person wrote
    )
    for entry in sorted(entry_points(group="haechi.commands"), key=lambda entry: entry.name):
        entry.load()(app)
    _report_failures(app)
    return app


def _report_failures(app: typer.Typer) -> None:
    for command in app.registered_commands:
        if command.callback:
            command.callback = reports_failures(command.callback)
    for group in app.registered_groups:
        if group.typer_instance:
            _report_failures(group.typer_instance)


def main() -> None:
    os.umask(0o077)  # what this process and its children write is for their user alone
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    build_app()()


if __name__ == "__main__":
    main()
