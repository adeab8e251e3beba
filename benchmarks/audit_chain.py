"""Prints how long it takes to verify the chain of 100,000 audit rows, in a file of SQLite.

`python -m benchmarks.audit_chain`: the rows are written with their real hashes, then the whole chain is computed again.
"""

import argparse
import tempfile
from time import perf_counter, process_time

from sqlalchemy import insert
from sqlalchemy.orm import Session

from llm_service.store import audit
from llm_service.store.models import AuditChain, AuditEvent, Base, now
from llm_service.store.session import open_database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        database = open_database(f"sqlite:///{scratch}/haechi.db")
        Base.metadata.create_all(database)
        with Session(database) as session, session.begin():
            session.execute(insert(AuditEvent), chained(arguments.rows))
            last = session.query(AuditEvent).order_by(AuditEvent.position.desc()).limit(1).one()
            session.add(AuditChain(id=1, last_position=last.position, last_sha256=last.sha256, **BEGINNING))
        began, used = perf_counter(), process_time()
        with Session(database) as session:
            found = audit.verify(session)
        print(
            f"{found.rows:,} rows verified in {perf_counter() - began:.1f} s ({process_time() - used:.1f} s of CPU), "
            f"fault: {found.fault}"
        )
        database.dispose()


BEGINNING = {"before_first_position": 0, "before_first_sha256": audit.GENESIS_SHA256}


def chained(rows: int) -> list[dict[str, object]]:
    """Rows as `audit.record` writes them."""
    made, before = [], audit.GENESIS_SHA256
    for position in range(1, rows + 1):
        row = {
            "position": position,
            "at": now(),
            "actor": f"{position % 40:064x}",
            "action": "review.first_approved",
            "subject_kind": "review_item",
            "subject_id": f"{position:032x}",
            "details": {"kind": "correction", "state": "first_approved", "version": 3, "rubric": "partial"},
        }
        before = audit.chained_sha256(before, AuditEvent(**row))
        made.append({**row, "sha256": before})
    return made


if __name__ == "__main__":
    main()
