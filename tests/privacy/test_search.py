"""The search itself: a leak that is planted is found, whatever it is planted in and however it is written."""

import gzip
import json
import secrets
import sqlite3
import tarfile
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from qdrant_edge import EdgeConfig, EdgeShard, EdgeSparseVectorParams, Point, SparseVector, UpdateOperation

from llm_service.masked import RawText
from llm_service.wiring import Analysers
from tests.privacy.canaries import Canary, make_canaries
from tests.privacy.redis_places import keep_everything, redis_places
from tests.privacy.search import ENCODINGS, Place, Search, files_below

pytestmark = pytest.mark.privacy

CANARIES = make_canaries(secrets.token_hex(16))
CERTAIN = tuple(canary for canary in CANARIES if canary.is_certain)


def of_type(type_: str) -> Canary:
    return next(canary for canary in CANARIES if canary.type == type_)


def types_in(*places: Place) -> set[str]:
    return {leak.type for leak in Search(CANARIES).leaks(places)}


def test_the_masker_promises_to_find_every_certain_canary(analysers: Analysers) -> None:
    for canary in CERTAIN:
        masked = analysers.masker.mask(RawText(canary.text)).text
        assert f"<{canary.type}_" in masked, (canary.type, canary.disguised)
        assert not any(spelling in masked for spelling in canary.known_as), (canary.type, canary.disguised)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_spelling_of_every_canary_is_found_in_every_encoding(encoding: str) -> None:
    for canary in CERTAIN:
        for spelling in canary.known_as:
            written = ENCODINGS[encoding](spelling)
            if written is not None:
                assert canary.type in types_in(Place("planted", b"\x00\xffbefore" + written + b"behind\xfe"))


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_base64_is_found_wherever_the_value_begins(before: str) -> None:
    packed = b64encode(f"{before}번호는 {of_type('PHONE').typed}, 끝".encode())
    assert types_in(Place("queue", b'{"body": "' + packed + b'"}')) == {"PHONE"}


def test_digits_are_found_whatever_separates_them() -> None:
    digits = of_type("CREDIT_CARD").typed.replace("-", "")
    written = f"{digits[:2]}.{digits[2:7]} / {digits[7:]}"
    assert types_in(Place("planted", written.encode())) == {"CREDIT_CARD"}


def _gzipped(folder: Path, text: bytes) -> None:
    (folder / "log.gz").write_bytes(gzip.compress(text))


def _tarred(folder: Path, text: bytes) -> None:
    (folder / "member").write_bytes(text)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "member", "member")
    (folder / "member").unlink()


def _zipped(folder: Path, text: bytes) -> None:
    with zipfile.ZipFile(folder / "document.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", text)


def _in_a_picture(folder: Path, text: bytes) -> None:
    (folder / "file.pdf").write_bytes(b"%PDF stream\n" + zlib.compress(text) + b"\nendstream")


def _in_a_name(folder: Path, text: bytes) -> None:
    (folder / text.decode().replace("/", "")).touch()


def _logged(folder: Path, text: bytes) -> None:
    (folder / "platform.log").write_text(json.dumps({"event": text.decode()}) + "\n")


PLANTED_FILES: list[Callable[[Path, bytes], None]] = [_gzipped, _tarred, _zipped, _in_a_picture, _in_a_name, _logged]


@pytest.mark.parametrize("plant", PLANTED_FILES)
def test_a_leak_in_a_file_is_found(plant: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    plant(tmp_path, of_type("EMAIL").text.encode())
    assert types_in(*files_below(tmp_path, "home")) == {"EMAIL"}


def test_a_leak_in_a_database_row_is_found_in_the_file_and_in_its_log(tmp_path: Path) -> None:
    records = sqlite3.connect(tmp_path / "haechi.db", isolation_level=None)
    records.execute("PRAGMA journal_mode=WAL")
    records.execute("CREATE TABLE turns (question TEXT)")
    records.execute("INSERT INTO turns VALUES (?)", [of_type("KR_RRN").text])
    assert types_in(*files_below(tmp_path, "home")) == {"KR_RRN"}  # still in the write-ahead log
    records.close()
    assert [place.name for place in files_below(tmp_path, "home")] == ["home/haechi.db"]
    assert types_in(*files_below(tmp_path, "home")) == {"KR_RRN"}


def test_a_leak_in_a_vector_index_is_found(tmp_path: Path) -> None:
    vector = SparseVector([1], [1.0])
    point = Point(1, {"words": vector}, {"text": of_type("KR_BANK_ACCOUNT").text})
    shard = EdgeShard.create(str(tmp_path), EdgeConfig(sparse_vectors={"words": EdgeSparseVectorParams()}))
    shard.update(UpdateOperation.upsert_points([point]))
    shard.flush()
    shard.close()
    assert types_in(*files_below(tmp_path, "vectors")) == {"KR_BANK_ACCOUNT"}


PLANTED_KEYS: dict[str, Callable[["redis.Redis", str], object]] = {
    "string": lambda server, text: server.set("a", text),
    "list": lambda server, text: server.rpush("a", text),
    "set": lambda server, text: server.sadd("a", text),
    "sorted set": lambda server, text: server.zadd("a", {text: 1}),
    "hash": lambda server, text: server.hset("a", "field", text),
    "stream": lambda server, text: server.xadd("a", {"data": text}),
    "key": lambda server, text: server.set(text, "1"),
}


@pytest.mark.parametrize("kind", PLANTED_KEYS)
def test_a_leak_in_redis_is_found(kind: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, db=1) as server:
        server.slowlog_reset()
        PLANTED_KEYS[kind](server, json.dumps({"text": of_type("PHONE").text}))
    assert types_in(*redis_places(redis_url)) == {"PHONE"}


def test_a_leak_that_redis_has_forgotten_is_found_in_its_slow_log_and_on_its_disk(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        keep_everything(redis_url)
        server.set("gone", of_type("PHONE").text)
        server.delete("gone")
        folder = Path(server.config_get("dir")["dir"])
        try:
            assert types_in(*redis_places(redis_url)) == {"PHONE"}
            assert types_in(*files_below(folder, "redis")) == {"PHONE"}
        finally:
            server.config_set("slowlog-log-slower-than", "10000")
            server.config_set("appendonly", "no")
            server.slowlog_reset()


def test_a_hard_name_is_a_leak_in_a_log_and_nowhere_else() -> None:
    hard = next(canary for canary in CANARIES if not canary.is_certain)
    assert types_in(Place("row", hard.text.encode())) == set()
    assert types_in(Place("log", hard.text.encode(), is_log=True)) == {"PERSON"}
