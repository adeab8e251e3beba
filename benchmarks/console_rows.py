"""Fills a PostgreSQL database with what a bank's console copes with: conversations, verdicts, examples, audit rows.

The rows are made inside the database. They are as wide as real ones, and their questions are of a few templates, so
that words are rare and frequent as in real text; the hashes of the audit rows are not computed.
"""

import json
from datetime import UTC, datetime
from typing import Final

import psycopg

TURNS_OF_A_CONVERSATION: Final = 5
TURNS_OF_A_VERDICT: Final = 10
DAYS: Final = 180
TABLES: Final = (
    "conversations",
    "turns",
    "turn_sources",
    "feedback",
    "review_items",
    "review_mentions",
    "audit_events",
)
QUESTIONS: Final = (
    "예금자보호 한도는 얼마까지인가요?",
    "중도상환수수료는 언제 면제되나요?",
    "한도대출 이자는 며칠에 빠져나가나요?",
    "카드를 잃어버렸는데 어디로 전화하나요? 제 번호는 <PHONE_1>입니다",
    "주택담보대출의 DTI 계산은 어떻게 하나요?",
    "해외송금 수수료와 한도를 알려 주세요",
    "적금을 만기 전에 해지하면 이자는 어떻게 되나요?",
    "신용대출 금리인하요구권은 어떻게 신청하나요?",
)
ANSWER: Final = (
    "예금자보호법에 따라 원금과 소정의 이자를 합하여 1인당 1억원까지 보호됩니다. [1] 같은 은행의 모든 예금을 합산하며, "
    "외화예금도 포함됩니다. [1] 다만 펀드와 같은 투자상품은 보호되지 않습니다. [2] 자세한 것은 영업점에 문의하세요."
)
RETRIEVAL: Final = json.dumps(
    {
        "candidates": [
            {
                "passage_id": number,
                "label": f"여신 내규 제{number}조 (시행 2025-04-01)",
                "score": 0.9 - number / 50,
                "signals": {},
            }
            for number in range(1, 9)
        ],
        "verdicts": [
            {
                "sentence": number,
                "passed": True,
                "failures": [],
                "unsupported": [],
                "entailment": None,
                "cited": [1],
                "rewritten": False,
            }
            for number in range(4)
        ],
        "confidence": 0.83,
    },
    ensure_ascii=False,
)
SOURCES: Final = json.dumps(
    [
        {
            "document_id": None,
            "passage_id": None,
            "path": f"내규/{number}.md",
            "title": "여신 내규",
            "label": f"여신 내규 제{number}조",
            "article": f"제{number}조",
            "text": ANSWER,
            "in_force_from": "2025-04-01",
        }
        for number in range(1, 4)
    ],
    ensure_ascii=False,
)

CONVERSATIONS: Final = """
INSERT INTO conversations (id, channel, thread_key, user_key, audience, groups, locale, created_at, last_turn_at,
                           last_numbers)
SELECT md5('c' || i), (ARRAY['web', 'web', 'slack', 'teams'])[1 + i %% 4], md5('t' || i) || md5('h' || i),
       md5('u' || i %% 50000) || md5('k' || i %% 50000), (ARRAY['customer', 'staff'])[1 + (i %% 4) / 2], '[]', 'ko',
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * 5 * (%(conversations)s - i)),
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * 5 * (%(conversations)s - i)), '{}'
FROM generate_series(1, %(conversations)s) AS i
"""
TURNS: Final = """
INSERT INTO turns (id, conversation_id, event_id, position, question, entity_counts, state, intent, intent_confidence,
                   routed_by, answer, engine, cut_sentences, timings, retrieval, created_at, answering_since,
                   answered_at)
SELECT md5('q' || i), md5('c' || (1 + (i - 1) / 5)), 'e' || i, 1 + (i - 1) %% 5,
       (%(questions)s::text[])[1 + i %% 8] || ' (' || i %% 9973 || ')',
       CASE WHEN i %% 8 = 3 THEN '{"PHONE": 1}' ELSE '{}' END::json,
       (ARRAY['answered', 'answered', 'answered', 'answered', 'answered', 'answered', 'answered', 'refused', 'replied',
              'failed'])[1 + i %% 10],
       'ask_document', 0.93, 'rasa', CASE WHEN i %% 10 < 9 THEN %(answer)s ELSE NULL END, 'extractive', i %% 3 %% 2,
       '{"retrieval": 21.5, "engine": 8.1}', %(retrieval)s::json,
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * (%(turns)s - i)),
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * (%(turns)s - i)),
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * (%(turns)s - i))
FROM generate_series(1, %(turns)s) AS i
"""
TURN_SOURCES: Final = """
INSERT INTO turn_sources (turn_id, number, label, document_path, text, score)
SELECT md5('q' || i * 10), number, '여신 내규 제' || number || '조', '내규.md', %(answer)s, 0.9
FROM generate_series(1, %(verdicts)s) AS i, generate_series(1, 3) AS number
"""
FEEDBACK: Final = """
INSERT INTO feedback (id, turn_id, event_id, verdict, reason, correction, state, created_at)
SELECT md5('f' || i), md5('q' || i * 10), 'v' || i, (ARRAY['down', 'down', 'up'])[1 + i %% 3], 'wrong_number',
       CASE WHEN i %% 2 = 0 THEN %(answer)s ELSE NULL END, 'pending',
       %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * 10 * (%(verdicts)s - i))
FROM generate_series(1, %(verdicts)s) AS i
"""
REVIEW_ITEMS: Final = """
INSERT INTO review_items (id, kind, state, version, feedback_id, conversation_id, user_key, group_key, question, answer,
                          proposed_question, proposed_answer, proposed_by, proposed_at, rubric, first_approver,
                          first_approved_at, second_approver, second_approved_at, rejected_by, rejection_reason, tags,
                          sources, licence, locale, audience, created_at)
SELECT md5('r' || i), CASE WHEN i %% 50 = 0 THEN 'glossary' ELSE 'correction' END, state, 2, md5('f' || i),
       md5('c' || (1 + (i * 10 - 1) / 5)), md5('u' || i %% 50000) || md5('k' || i %% 50000), md5('c' || i),
       (%(questions)s::text[])[1 + i %% 8] || ' (' || i %% 9973 || ')', %(answer)s,
       (%(questions)s::text[])[1 + i %% 8] || ' (' || i %% 9973 || ')', %(answer)s || ' 고침',
       md5('u' || i %% 50000) || md5('k' || i %% 50000), at, 'partial',
       CASE WHEN state IN ('first_approved', 'approved') THEN repeat('a', 63) || i %% 5 END,
       CASE WHEN state IN ('first_approved', 'approved') THEN at END,
       CASE WHEN state = 'approved' THEN repeat('b', 63) || i %% 5 END, CASE WHEN state = 'approved' THEN at END,
       CASE WHEN state = 'rejected' THEN repeat('c', 64) END, CASE WHEN state = 'rejected' THEN 'outdated' END,
       '["ask_document", "wrong_number", "answered"]', %(sources)s::json, 'bank', 'ko',
       (ARRAY['customer', 'staff'])[1 + i %% 2], at
FROM (SELECT i, %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * 10 * (%(verdicts)s - i)) AS at,
             (ARRAY['pending', 'pending', 'proposed', 'proposed', 'proposed', 'proposed', 'first_approved',
                    'first_approved', 'approved', 'rejected'])[1 + i * 7 %% 10] AS state
      FROM generate_series(1, %(verdicts)s) AS i) AS made
"""
AUDIT: Final = """
INSERT INTO audit_events (position, at, actor, action, subject_kind, subject_id, details, sha256)
SELECT i, %(until)s::timestamptz - make_interval(secs => %(step)s::float8 * (%(turns)s - i)),
       CASE WHEN i %% 3 = 0 THEN repeat('a', 63) || i %% 5 ELSE 'service' END,
       (ARRAY['feedback.given', 'review.read', 'review.first_approved', 'conversation.read'])[1 + i %% 4],
       'review_item', md5('r' || i %% %(verdicts)s), '{"state": "proposed"}', md5('s' || i) || md5('z' || i)
FROM generate_series(1, %(turns)s) AS i
"""
CHAIN: Final = """
INSERT INTO audit_chain (id, last_position, last_sha256, before_first_position, before_first_sha256)
SELECT 1, position, sha256, 0, repeat('0', 64) FROM audit_events ORDER BY position DESC LIMIT 1
ON CONFLICT (id) DO UPDATE SET last_position = excluded.last_position, last_sha256 = excluded.last_sha256
"""


def fill(database_url: str, turns: int, *, bulk: bool = True) -> None:
    """`turns` turns over half a year, a fifth of it conversations, a tenth verdicts and examples, as many audit rows.

    With `bulk` indices are dropped and made again, and foreign keys are not looked up: faster by far for a million.
    """
    numbers = {
        "turns": turns,
        "conversations": turns // TURNS_OF_A_CONVERSATION,
        "verdicts": turns // TURNS_OF_A_VERDICT,
    }
    texts = {"questions": list(QUESTIONS), "answer": ANSWER, "retrieval": RETRIEVAL, "sources": SOURCES}
    told = {**numbers, **texts, "until": datetime.now(UTC), "step": DAYS * 86_400 / turns}
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Bound in the client: the planner then sees constants, and one statement makes all rows of a table.
        cursor = psycopg.ClientCursor(connection)
        cursor.execute("SET session_replication_role = replica" if bulk else "SELECT 1")
        cursor.execute("SET synchronous_commit = off")
        indices = _dropped_indices(cursor) if bulk else []
        for statement in (CONVERSATIONS, TURNS, TURN_SOURCES, FEEDBACK, REVIEW_ITEMS, AUDIT, CHAIN):
            cursor.execute(statement, told)
        for definition in indices:
            cursor.execute(definition)
        cursor.execute("SELECT setval('audit_events_id_seq', (SELECT max(id) FROM audit_events))")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def _dropped_indices(cursor: psycopg.ClientCursor[tuple[str, str]]) -> list[str]:
    """Definitions of the indices that were dropped; those of constraints stay."""
    found = cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND NOT EXISTS "
        "(SELECT 1 FROM pg_constraint WHERE conname = indexname)",
        (list(TABLES),),
    ).fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]
