"""The health command of workers, `heartbeat.py FILE SECONDS`: exit status 0 while the file is younger than that.

Standard library only, so that images need no shell.
"""

import sys
import time
from pathlib import Path


def main() -> int:
    file, seconds = Path(sys.argv[1]), float(sys.argv[2])
    try:
        return 0 if time.time() - file.stat().st_mtime < seconds else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
