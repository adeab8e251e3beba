"""The health command of every image: `python /opt/haechi/probe.py PORT [PATH]`; exit status 0 while it answers 2xx.

Standard library only, so that images need no shell and no curl; an argument list without blanks, for old engines.
"""

import http.client
import sys

SECONDS = 3
LIVE = "/health/live"


def main() -> int:
    port, path = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else LIVE
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status // 100 == 2 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
