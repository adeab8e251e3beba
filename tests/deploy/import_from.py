"""Imports modules from one folder and nowhere else: `import_from.py FOLDER MODULE...`; fails if onestrays."""

import importlib
import sys

OURS = {"bot", "llm_service", "admin", "trainer", "haechi"}


def main(folder: str, *names: str) -> int:
    # The editable installation would find what the folder lacks.
    sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
    sys.path = [
        folder,
        *(place for place in sys.path if place.endswith(("site-packages", "lib-dynload", ".zip", "3.11"))),
    ]
    for name in names:
        importlib.import_module(name)
    files = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in OURS}
    strays = [name for name, file in files.items() if file and not file.startswith(folder)]
    print(f"from elsewhere: {strays}" if strays else "all from the folder", file=sys.stderr)
    return 1 if strays else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
