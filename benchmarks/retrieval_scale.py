"""Prints what retrieval costs at size: the statutes indexed many times over, then every development question asked.

`python -m benchmarks.retrieval_scale --statutes DIR --copies 30` makes about 100,000 passages. Every time stands beside
the processor time it took, which says more on a machine that is busy with other work.
"""

import argparse
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles
from time import perf_counter, process_time

from benchmarks.corpora import IN_FORCE_FROM, Corpus, Question, questions, statutes
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.lexical import Lexical, pack_terms
from llm_service.store.models import Base, Document, IndexChange, Passage
from llm_service.store.session import SessionFactory, open_database, session_factory

CUSTOMER = Entitlement("customer", date(2026, 11, 21))
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statutes", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=30)
    arguments = parser.parse_args()
    lexical = Lexical()
    lexical.warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        engine = open_database(f"sqlite:///{scratch}/haechi.db")
        Base.metadata.create_all(engine)
        sessions = session_factory(engine)
        corpus = statutes(arguments.statutes / "current")
        with _timed(f"{sum(map(len, corpus.values()))} passages analysed"):
            analysed = _analysed(corpus, lexical)
        with _timed("rows written"):
            _store(sessions, corpus, analysed, arguments.copies)
        owner = _open(scratch, sessions, lexical, "index built")
        owner.close()
        owner = _open(scratch, sessions, lexical, "index opened again")
        print(f"passages: {owner.count()}")
        _ask(owner, questions(arguments.statutes / "questions.dev.jsonl"))
        print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        owner.close()


def _analysed(corpus: Corpus, lexical: Lexical) -> dict[str, list[bytes]]:
    return {
        path: [pack_terms(terms) for terms in lexical.passages_terms((part.header, part.text) for part in parts)]
        for path, parts in corpus.items()
    }


def _store(sessions: SessionFactory, corpus: Corpus, analysed: dict[str, list[bytes]], copies: int) -> None:
    for copy in range(copies):
        with sessions() as session, session.begin():
            for document in _documents(corpus, analysed, copy):
                session.add(document)
                session.flush()
                session.add(IndexChange(document_id=document.id, action="upsert"))


def _documents(corpus: Corpus, analysed: dict[str, list[bytes]], copy: int) -> Iterator[Document]:
    for number, (path, parts) in enumerate(corpus.items()):
        yield Document(
            path=f"{copy}/{path}",
            series=f"{copy}/{path}",
            title=path,
            kind="benchmark",
            audience=["customer", "staff"] if copy % 2 == 0 else ["staff"],
            content_sha256=f"{copy}",
            in_force_from=IN_FORCE_FROM + timedelta(days=number),
            state="ready",
            passages=[
                Passage(
                    position=position,
                    header=MaskedText(part.header),
                    text=MaskedText(part.text),
                    label=part.place,
                    article=part.article,
                    heading_path=[],
                    vectors=blob,
                )
                for position, (part, blob) in enumerate(zip(parts, analysed[path], strict=True))
            ],
        )


def _open(scratch: str, sessions: SessionFactory, lexical: Lexical, what: str) -> IndexOwner:
    with _timed(what):
        return IndexOwner(EdgeIndexes(Path(scratch) / "vectors"), sessions, lexical)


def _ask(owner: IndexOwner, asked: list[Question]) -> None:
    milliseconds: dict[str, list[float]] = {}
    for round_number in range(ROUNDS):
        for question in asked:
            start, processor_start = perf_counter(), process_time()
            found = owner.retriever.search(question.text, CUSTOMER)
            took = {
                "question": (perf_counter() - start) * 1000,
                "processor": (process_time() - processor_start) * 1000,
                **found.timings,
            }
            if round_number:
                for name, value in took.items():
                    milliseconds.setdefault(name, []).append(value)
    for name, values in milliseconds.items():
        cuts = quantiles(values, n=100)
        print(f"{name:10} p50 {cuts[49]:6.2f} ms   p95 {cuts[94]:6.2f} ms   p99 {cuts[98]:6.2f} ms")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start, processor_start = perf_counter(), process_time()
    yield
    print(f"{what}: {perf_counter() - start:.2f} s, {process_time() - processor_start:.2f} s of processor time")


if __name__ == "__main__":
    main()
