"""Asks approved questions again under a new edition: is the approved answer still right, is it changed, is it gone?

The approved answer is held against what the new edition says in the places it cited, by the verifier that checks every
answer. Knows no channel and no storage; a question that names another day than its own is left alone.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final, cast

from llm_service.answering.as_of import asks_before_revision, day_asked_about
from llm_service.answering.story import AnswerStory, Finished, Question
from llm_service.answering.texts import as_of_text
from llm_service.answering.verify import Verifier
from llm_service.client import Locale, RetestedAnswer, RetestState
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Audience, Candidate
from llm_service.retrieval.changes import Changes, clauses_of
from llm_service.retrieval.identity import KOREAN_TIME
from llm_service.store.editions import ApprovedAnswer, CitedSource, Edition, EditionPassage
from llm_service.store.models import OPEN_END

_CITATION: Final = re.compile(r"\s?\[\d[\d, ]*\]")


class Retest:
    """Retests answers with the story that serves people; `verifier` holds the approved words against the edition."""

    def __init__(self, story: AnswerStory, verifier: Verifier | None = None) -> None:
        self._story = story
        self._verifier = verifier or Verifier()

    async def retest(self, approved: ApprovedAnswer, changes: Changes) -> RetestedAnswer:
        """What has become of an approved answer on the first day of the new edition."""
        again = await self._asked_again(approved, changes.edition.in_force_from)
        evidence = _evidence(approved, changes.edition, again)
        failures = self._failures(approved, evidence)
        return RetestedAnswer(
            feedback_id=approved.feedback_id,
            turn_id=approved.turn_id,
            state=_state(failures, again, approved, changes.edition),
            question=approved.question,
            approved_answer=approved.answer,
            new_answer=again.answer,
            clauses=_touched(approved, changes),
            failures=failures,
        )

    async def _asked_again(self, approved: ApprovedAnswer, as_of: date) -> Finished:
        question = Question(
            text=approved.question,
            history=approved.history,
            audience=cast(Audience, approved.audience),
            as_of=as_of,
            locale=cast(Locale, approved.locale),
            groups=frozenset(approved.groups),
        )
        async for event in self._story.tell(question):
            if isinstance(event, Finished):
                return event
        raise AssertionError("a story ends with Finished")

    def _failures(self, approved: ApprovedAnswer, evidence: Sequence[Candidate]) -> list[str]:
        """Kinds of failures of the approved sentences, each once, as the verifier names them."""
        said = _CITATION.sub("", _without_date_line(approved))
        verdicts = self._verifier.check(said, evidence, approved.question)
        return list(dict.fromkeys(failure for verdict in verdicts for failure in verdict.failures))


def is_affected(approved: ApprovedAnswer, changes: Changes) -> bool:
    """Whether an approved answer rests on a changed clause and speaks of its own day, not of a day it names.

    A source whose document has been deleted cannot be compared: its answer is retested.
    """
    if not _is_about_its_own_day(approved):
        return False
    return any(_rests_on(source, changes) for source in approved.sources)


def _rests_on(source: CitedSource, changes: Changes) -> bool:
    edition = changes.edition
    if source.passage is None or source.in_force_from is None:
        return source.document_path in {edition.path, changes.previous.path if changes.previous else None}
    if source.series != edition.series or source.document_id == edition.document_id:
        return False
    # An edition of the past that arrives late changes nothing for answers from a later one.
    return source.in_force_from <= edition.in_force_from and changes.touches(source.passage)


def _is_about_its_own_day(approved: ApprovedAnswer) -> bool:
    asked_on = approved.asked_at.astimezone(KOREAN_TIME).date()
    if day_asked_about(approved.question, asked_on) is not None or asks_before_revision(approved.question):
        return False
    return approved.as_of is None or approved.as_of == asked_on


def _state(failures: Sequence[str], again: Finished, approved: ApprovedAnswer, edition: Edition) -> RetestState:
    if not failures:
        return "still_right"
    cited = [source.passage for source in approved.sources if source.passage and source.series == edition.series]
    is_repealed = bool(cited) and not any(_same_place(passage, edition) for passage in cited)
    return "gone" if again.refused or is_repealed else "changed"


def _evidence(approved: ApprovedAnswer, edition: Edition, again: Finished) -> tuple[Candidate, ...]:
    """What may bear out the approved answer now: the cited places as the new edition has them, the other sources as
    they were shown, and the sources of the new answer."""
    found: dict[str, Candidate] = {}
    for source in approved.sources:
        if source.passage is not None and source.series == edition.series:
            for passage in _same_place(source.passage, edition):
                found[passage.text] = _candidate(passage.id, passage.label, passage.article, passage.text, edition)
        elif source.passage is not None:
            found[source.text] = _candidate(0, source.label, source.passage.article, source.text, edition)
    for cited in again.sources:
        text = MaskedText(cited.text)
        found[text] = _candidate(cited.passage_id or 0, cited.label, cited.article, text, edition)
    return tuple(found.values())


def _same_place(cited: EditionPassage, edition: Edition) -> list[EditionPassage]:
    places = {clause.place for clause in clauses_of((cited,))}
    return [passage for passage in edition.passages if places & {clause.place for clause in clauses_of((passage,))}]


def _candidate(passage_id: int, label: str, article: str | None, text: MaskedText, edition: Edition) -> Candidate:
    return Candidate(
        passage_id=passage_id,
        document_path=edition.path,
        document_title=edition.title,
        label=label,
        article=article,
        heading_path=(),
        page=None,
        text=text,
        score=1.0,
        in_force_from=edition.in_force_from,
        in_force_to=OPEN_END,
    )


def _without_date_line(approved: ApprovedAnswer) -> str:
    if approved.as_of is None:
        return approved.answer
    dated = as_of_text(approved.as_of, cast(Locale, approved.locale))
    return "\n".join(line for line in approved.answer.split("\n") if not line.startswith(dated))


def _touched(approved: ApprovedAnswer, changes: Changes) -> list[str]:
    cited = [source.passage for source in approved.sources if source.passage]
    places = {clause.place for clause in clauses_of(cited)}
    return [str(change.clause) for change in changes.clauses if change.clause.place in places]
