"""Every messenger and the widget, one after the other: acknowledgements, storms, streams. Ends in 1 if a bar is missed.

Each section is a program of its own that can be run alone; this one only runs them: `make bench-channels`.
"""

import subprocess
import sys

from rich.console import Console

SECTIONS = ("benchmarks.slack_channel", "benchmarks.teams_channel", "benchmarks.widget_streams")


def main() -> None:
    """Run the sections, or those that are named."""
    console = Console()
    missed = []
    for section in sys.argv[1:] or SECTIONS:
        console.rule(section)
        if subprocess.run([sys.executable, "-m", section], check=False).returncode != 0:
            missed.append(section)
    if missed:
        console.print(f"missed its bar: {', '.join(missed)}", style="red")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
