"""What a Redis server holds, as places to search: every key of every type in every database, and the slow log."""

from collections.abc import Iterator
from typing import Any

import redis

from tests.privacy.search import Place

KEEP_EVERYTHING = {
    # Everything that could reach a disk or a look-back is switched on, and nothing is compressed.
    "rdbcompression": "no",
    "aof-use-rdb-preamble": "no",
    "appendfsync": "always",
    "appendonly": "yes",
    "slowlog-max-len": "100000",
    "slowlog-log-slower-than": "0",
}


def keep_everything(url: str) -> None:
    """Make a running server write its append-only file and log every command it gets."""
    with redis.Redis.from_url(url) as server:
        for name, value in KEEP_EVERYTHING.items():
            server.config_set(name, value)


def redis_places(url: str) -> Iterator[Place]:
    """Keys with what they hold, database by database, and the slow log's commands."""
    with redis.Redis.from_url(url) as server:
        databases = int(server.config_get("databases")["databases"])
        yield Place("redis slowlog", repr(server.execute_command("SLOWLOG", "GET", "-1")).encode(), is_log=True)
        yield Place("redis slowlog, as bytes", _joined(server.slowlog_get(-1)), is_log=True)
    for number in range(databases):
        with redis.Redis.from_url(url, db=number) as database:
            for key in database.scan_iter(count=1000):
                kind = database.type(key).decode()
                yield Place(f"redis {number} {kind}", key + b"\n" + (database.dump(key) or b"") + _held(database, key))


def _joined(commands: object) -> bytes:
    assert isinstance(commands, list)
    return b"\n".join(command["command"] for command in commands)


def _held(database: Any, key: bytes) -> bytes:  # redis-py types its answers as awaitable or not
    match database.type(key):
        case b"none":
            return b""  # it expired since it was named
        case b"string":
            return bytes(database.get(key) or b"")
        case b"list":
            return b"\n".join(database.lrange(key, 0, -1))
        case b"set":
            return b"\n".join(database.smembers(key))
        case b"zset":
            return b"\n".join(database.zrange(key, 0, -1))
        case b"hash":
            return b"\n".join(part for pair in database.hgetall(key).items() for part in pair)
        case b"stream":
            entries = database.xrange(key)
            return b"\n".join(part for _, fields in entries for pair in fields.items() for part in pair)
        case kind:
            raise AssertionError(f"keys of type {kind!r} are not read yet")
