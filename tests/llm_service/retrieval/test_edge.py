"""What only the index inside this process promises: it survives a kill, and one process at a time owns it."""

import signal
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest

from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.index import IndexHeld, IndexPoint
from llm_service.store.models import OPEN_END

POINT = IndexPoint(1, 1, ("customer",), date(2000, 1, 1), OPEN_END, {"kiwi": ([1], [1.0]), "char": ([2], [1.0])})
OWNER = """
    import sys, time
    from datetime import date
    from pathlib import Path
    from llm_service.retrieval.edge import EdgeIndexes
    from llm_service.retrieval.index import IndexPoint
    indexes = EdgeIndexes(Path(sys.argv[1]))
    index = indexes.create("one")
    vectors = {"kiwi": ([1], [1.0]), "char": ([2], [1.0])}
    index.upsert([IndexPoint(1, 1, ("customer",), date(2000, 1, 1), date(9999, 12, 31), vectors)])
    print("held", flush=True)
    time.sleep(60)
"""


def start_owner(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_the_index(tmp_path: Path) -> None:
    with start_owner(tmp_path) as owner:
        with pytest.raises(IndexHeld) as refused:
            EdgeIndexes(tmp_path)
        assert refused.value.code == "index_held"
        owner.kill()


def test_what_was_upserted_survives_a_kill(tmp_path: Path) -> None:
    with start_owner(tmp_path) as owner:
        owner.send_signal(signal.SIGKILL)
    indexes = EdgeIndexes(tmp_path)
    index = indexes.open("one")
    assert index is not None
    hits = index.search({"kiwi": ([1], [1.0])}, Entitlement("customer", date(2026, 1, 1)), 5)
    assert [hit.passage_id for hit in hits] == [1]
    index.close()
    indexes.close()


def test_a_closed_index_can_be_opened_again_in_the_same_process(tmp_path: Path) -> None:
    indexes = EdgeIndexes(tmp_path)
    index = indexes.create("one")
    index.upsert([POINT])
    index.flush()
    index.close()
    indexes.close()
    reopened = EdgeIndexes(tmp_path)
    index_again = reopened.open("one")
    assert index_again is not None
    assert index_again.count() == 1
    index_again.close()
    reopened.close()
