"""Asks one question as a guest and fails unless the answer names a source: `ask.py GATEWAY QUESTION`.

Standard library only; it runs in the gateway's image as the chart's own test.
"""

import http.client
import json
import sys
import uuid
from urllib.parse import urlsplit

SECONDS = 60


def post(gateway: str, path: str, body: dict[str, str], token: str = "") -> bytes:
    address = urlsplit(gateway)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    connection.request("POST", path, json.dumps(body).encode(), headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        raise SystemExit(f"{path} answered {response.status}")
    return content


def events(stream: bytes) -> dict[str, list[dict[str, object]]]:
    """The data of a stream's events by their names."""
    told: dict[str, list[dict[str, object]]] = {}
    for block in stream.decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            told.setdefault(fields["event"], []).append(json.loads(fields.get("data", "{}")))
    return told


def main(gateway: str, question: str) -> None:
    token = json.loads(post(gateway, "/v1/session", {"locale": "ko"}))["token"]
    turn = {"message_id": str(uuid.uuid4()), "conversation": str(uuid.uuid4()), "text": question, "locale": "ko"}
    told = events(post(gateway, "/v1/chat", turn, token))
    if "done" not in told:
        raise SystemExit(f"the answer did not end; events: {sorted(told)}")
    if not any(shown.get("sources") for shown in told.get("sources", [])):
        raise SystemExit("the answer names no source: are the documents ingested?")
    print("answered, with sources")


if __name__ == "__main__":
    main(*sys.argv[1:])
