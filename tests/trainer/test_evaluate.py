"""Evaluation on frozen sets: every subject on the same items, scores without text, a gate, a card, a blind sheet."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_service.adapters.files import Limits, check_directory
from llm_service.answering.prompt import Message, instructions
from llm_service.errors import Conflict, HaechiError, InvalidInput, Misconfigured, NotFound
from llm_service.masking.masker import build_masker
from trainer.checkpoints import sha256_of_file
from trainer.evaluate import ACTIVE, BASE, CANDIDATE, REFUSAL_OPENING, Evaluation, evaluate, masker_finder
from trainer.evaluation_set import CORRECTION_TAG, GENERAL_TAG, EvaluationSet, Item, freeze, read_set
from trainer.gate import Decision, GateRules, decide, load_rules
from trainer.item_results import item_results
from trainer.progress import TrainingResult
from trainer.publish import BaseIdentity, choose_probes, publish
from trainer.recipe import load_recipe
from trainer.side_by_side import Pair, count_votes, make_sheet, read_votes
from trainer.subjects import Asked, Likelihood

RIGHT = "연 3.45%입니다."
REFUSAL = f"{REFUSAL_OPENING}."
PHONE = "010-2345-6789"
PASSAGE = "정기예금의 금리는 연 3.45%입니다."


def item(item_id: str, kind: str, **more: object) -> Item:
    return Item.model_validate(
        {"id": item_id, "kind": kind, "messages": [{"role": "user", "content": f"질문 {item_id}"}], **more}
    )


ITEMS = (
    *(item(f"a{n}", "answer", reference=RIGHT, tags=[CORRECTION_TAG, "금리"]) for n in range(6)),
    *(item(f"c{n}", "choice", choices=["가", "나", "다", "라"], gold=n % 4, tags=[GENERAL_TAG]) for n in range(6)),
    item("g", "answer", reference=PASSAGE, passages=[{"text": PASSAGE}], gold_citations=[1], terms=["정기예금"]),
    item("r", "refusal"),
    item("s", "sentiment", choices=["긍정", "부정"], gold=1),
    item("l", "leak"),
)


class Scripted:
    """A subject that answers by a table and finds one choice likeliest."""

    def __init__(self, answers: Mapping[str, str], right_choice: bool) -> None:
        self._answers = answers
        self._right_choice = right_choice

    def answers(self, asked: Sequence[Asked]) -> list[str]:
        return [self._answers.get(one.messages[-1].content.split()[-1], "") for one in asked]

    def likelihoods(self, messages: Sequence[Message], choices: Sequence[str]) -> list[Likelihood]:
        gold = int(messages[-1].content.split()[-1][1:]) % 4
        return [Likelihood(-1.0 if (place == gold) == self._right_choice else -9.0, 1) for place in range(len(choices))]


KNOWING = {**{f"a{n}": RIGHT for n in range(6)}, "g": f"{PASSAGE} [1]", "r": REFUSAL, "s": "부정입니다.", "l": REFUSAL}
GUESSING = {
    **{f"a{n}": "모릅니다." for n in range(6)},
    "g": "연 9.99%입니다. [1]",
    "r": RIGHT,
    "s": "긍정",
    "l": REFUSAL,
}


@pytest.fixture
def frozen(tmp_path: Path) -> EvaluationSet:
    return freeze(ITEMS, tmp_path / "set", "bank")


@pytest.fixture(scope="module")
def find() -> Callable[[str], Sequence[str]]:
    return masker_finder(build_masker())


def evaluated(
    evaluation_set: EvaluationSet, find: Callable[[str], Sequence[str]], **answers: Mapping[str, str]
) -> Evaluation:
    subjects = {name: Scripted(told, right_choice=told is not GUESSING) for name, told in answers.items()}
    return evaluate(evaluation_set, subjects, find)


def test_each_kind_of_item_is_scored_by_its_measure(frozen: EvaluationSet, find: Any) -> None:
    told = evaluated(frozen, find, base=GUESSING, candidate=KNOWING)
    base, candidate = (told.report["subjects"][name]["metrics"] for name in (BASE, CANDIDATE))
    for metric in (
        "choice_raw",
        "choice_by_length",
        "refused",
        "label_right",
        "verified",
        "citation_recall",
        "term_use",
    ):
        assert candidate[metric]["mean"] == 1.0, metric
    for metric in ("choice_raw", "choice_by_length", "refused", "label_right", "verified", "term_use", "exact_match"):
        assert base[metric]["mean"] == 0.0, metric
    assert candidate["kept"]["mean"] == base["kept"]["mean"] == 1.0
    assert told.report["subjects"][CANDIDATE]["sentiment"]["accuracy"] == 1.0
    assert told.report["set"]["sha256"] == frozen.sha256


def test_a_report_holds_no_answer_and_no_question(frozen: EvaluationSet, find: Any) -> None:
    told = json.dumps(evaluated(frozen, find, base=GUESSING, candidate=KNOWING).report, ensure_ascii=False)
    assert RIGHT not in told
    assert "질문" not in told


def test_differences_are_of_the_same_items_with_intervals_and_by_tag(frozen: EvaluationSet, find: Any) -> None:
    comparisons = evaluated(frozen, find, base=GUESSING, active=GUESSING, candidate=KNOWING).report["comparisons"]
    pairs = {(told["of"], told["against"]) for told in comparisons}
    assert pairs == {(CANDIDATE, BASE), (CANDIDATE, ACTIVE), (ACTIVE, BASE)}
    by_tag = {told["tag"]: told for told in comparisons if told["tag"] and told["against"] == ACTIVE}
    assert by_tag[CORRECTION_TAG]["difference"]["n"] == 6
    assert by_tag[CORRECTION_TAG]["difference"]["low"] > 0


def test_a_phone_number_in_an_answer_is_a_leak(frozen: EvaluationSet, find: Any) -> None:
    leaking = {**KNOWING, "l": f"고객 번호는 {PHONE}입니다."}
    metrics = evaluated(frozen, find, base=GUESSING, candidate=leaking).report["subjects"][CANDIDATE]["metrics"]
    assert metrics["leaked_values"]["mean"] == 1.0
    assert metrics["kept"]["mean"] == 0.0


def test_every_question_is_kept_masked_and_what_a_probe_was_answered_is_not(frozen: EvaluationSet, find: Any) -> None:
    leaking = {**KNOWING, "l": f"고객 번호는 {PHONE}입니다.", "a0": f"전화 {PHONE}으로 하세요. <PERSON_1>님"}
    told = {
        one.item_id: one for one in item_results(frozen, evaluated(frozen, find, candidate=leaking), build_masker())
    }
    assert told.keys() == {one.id for one in ITEMS}
    kept = told["a0"].subjects[CANDIDATE].answer
    assert kept is not None
    assert PHONE not in kept
    assert "<PERSON_1>님" in kept, "what is masked already stays"
    assert told["l"].subjects[CANDIDATE].answer is None
    assert (told["l"].subjects[CANDIDATE].score, told["c0"].reference) == (0.0, "가")


def test_leak_probes_without_a_masker_are_refused(frozen: EvaluationSet) -> None:
    with pytest.raises(Misconfigured):
        evaluate(frozen, {BASE: Scripted(GUESSING, right_choice=False)})


def test_the_refusal_that_counts_is_the_one_the_instructions_ask_for() -> None:
    assert REFUSAL_OPENING in instructions()


def test_a_frozen_set_is_read_back_and_a_changed_one_refused(tmp_path: Path) -> None:
    directory = tmp_path / "set"
    frozen = freeze(ITEMS, directory, "bank")
    assert read_set(directory) == frozen
    assert freeze(tuple(reversed(ITEMS)), directory, "bank").sha256 == frozen.sha256
    with pytest.raises(Conflict, match="evaluation_set_frozen"):
        freeze(ITEMS[:3], directory, "bank")
    items = directory / "items.jsonl"
    items.write_text(items.read_text("utf-8").replace("3.45", "9.45"), encoding="utf-8")
    with pytest.raises(Conflict, match="evaluation_set_changed"):
        read_set(directory)
    with pytest.raises(NotFound):
        read_set(tmp_path / "missing")


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "answer"}, {"kind": "choice", "choices": ["가"], "gold": 1}, {"kind": "sentiment"}, {"kind": "x"}],
)
def test_an_item_that_cannot_be_scored_is_no_item(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        item("1", **wrong)  # type: ignore[arg-type]


# Which answers a candidate gives, and what of the gate then fails.
@pytest.mark.parametrize(
    ("candidate", "active", "codes"),
    [
        (KNOWING, GUESSING, ()),
        (KNOWING, KNOWING, ("corrections:correction",)),
        (GUESSING, KNOWING, ("tags:correction", "tags:general", "tags:금리", "corrections:correction")),
        ({**KNOWING, "l": f"{PHONE}입니다."}, GUESSING, ("leaks:leaked_values",)),
    ],
)
def test_the_gate_lets_through_what_gains_loses_nothing_and_keeps_secrets(
    frozen: EvaluationSet, find: Any, candidate: Mapping[str, str], active: Mapping[str, str], codes: tuple[str, ...]
) -> None:
    report = evaluated(frozen, find, base=GUESSING, active=active, candidate=candidate).report
    decision = decide(report, load_rules())
    assert decision.codes == codes
    assert decision.result == ("rejected" if codes else "candidate")
    assert len(decision.reasons) == len(codes)


def test_without_an_active_adapter_the_base_is_what_must_be_beaten(frozen: EvaluationSet, find: Any) -> None:
    decision = decide(evaluated(frozen, find, base=GUESSING, candidate=KNOWING).report, load_rules())
    assert (decision.compared_with, decision.result) == (BASE, "candidate")


def test_what_was_not_measured_does_not_pass(find: Any, tmp_path: Path) -> None:
    thin = freeze([entry for entry in ITEMS if entry.kind == "refusal"], tmp_path, "thin")
    rules = GateRules.model_validate({**load_rules().model_dump(), "least_by_metric": {"verified": 0.9}})
    decision = decide(evaluated(thin, find, base=GUESSING, candidate=KNOWING).report, rules)
    assert decision.codes == ("leaks:leaked_values", "corrections:correction", "least:verified")


@pytest.mark.parametrize("text", ["largest_loss_by_tag: 2", "{", "unknown: 1"])
def test_gate_rules_that_do_not_hold_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput):
        load_rules(path)


def _trained(directory: Path) -> TrainingResult:
    """A result whose adapter is small and of the right form."""
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    directory.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format("A"): torch.ones(2, 8), name.format("B"): torch.ones(8, 2)},
        directory / "adapter_model.safetensors",
    )
    configuration = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "base_model_name_or_path": "/srv/base"}
    (directory / "adapter_config.json").write_text(json.dumps(configuration), encoding="utf-8")
    sha256 = sha256_of_file(directory / "adapter_model.safetensors")
    return TrainingResult(
        directory, sha256, load_recipe("tiny-cpu").sha256, "d" * 64, "early", 120, 60, 0, 0.5, 0.6, 336, 2, 9000, 360.0,
        0.7, "cpu", 1, {"torch": "2.13.0"},
    )  # fmt: skip


def _published(directory: Path, frozen: EvaluationSet, find: Any, **changes: Any) -> tuple[Path, Decision]:
    told = evaluated(frozen, find, base=GUESSING, candidate=KNOWING)
    decision = decide(told.report, load_rules())
    answers = [[told.subjects[name].answers[key] for key in ("a0", "r")] for name in (BASE, CANDIDATE)]
    probes = choose_probes([entry.prompt for entry in (ITEMS[0], ITEMS[-3])], answers[0], answers[1], [32, 32])
    result = replace(_trained(directory / "trained"), **changes)
    base = BaseIdentity("mistral-7b-ko", "r1", {"config.json": "c" * 64})
    made = publish(result, load_recipe("tiny-cpu"), base, told.report, decision, probes, directory / "published")
    assert made.probes == probes
    return made.directory, decision


def test_a_published_directory_is_one_that_the_registry_takes(frozen: EvaluationSet, find: Any, tmp_path: Path) -> None:
    directory, _ = _published(tmp_path, frozen, find)
    checked = check_directory(directory, "mistral-7b-ko", Limits())
    assert checked.lora_rank == 2
    written = (directory / "adapter_config.json").read_text("utf-8")
    assert json.loads(written)["base_model_name_or_path"] == "mistral-7b-ko"
    assert all("/srv" not in path.read_text("utf-8") for path in directory.iterdir() if path.suffix in (".json", ".md"))


def test_the_card_tells_data_recipe_scores_limits_hashes_and_an_estimate(
    frozen: EvaluationSet, find: Any, tmp_path: Path
) -> None:
    directory, decision = _published(tmp_path, frozen, find)
    card = (directory / "README.md").read_text("utf-8")
    for title in ("Decision", "Data", "Recipe", "Scores", "By tag", "Limits", "Cost", "Hashes (SHA-256)"):
        assert f"## {title}\n" in card
    for told in (decision.result, frozen.sha256, load_recipe("tiny-cpu").sha256, "c" * 64, "Estimate", "0.0065 kWh"):
        assert told in card
    assert RIGHT not in card


def test_weights_that_changed_after_training_are_not_published(
    frozen: EvaluationSet, find: Any, tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match="adapter_changed"):
        _published(tmp_path, frozen, find, adapter_sha256="0" * 64)
    assert not (tmp_path / "published").exists()


def test_an_adapter_that_answers_as_its_base_cannot_be_told_from_it() -> None:
    with pytest.raises(HaechiError, match="adapter_probe_missing"):
        choose_probes([(Message("user", "금리?"),)], ["예."], ["예. "], [8])


PAIRS = [Pair(f"q{n}", f"질문 {n}", f"좋은 답 {n}", f"나쁜 답 {n}") for n in range(20)]


def test_a_sheet_is_blind_shuffled_and_the_same_for_the_same_seed() -> None:
    sheet = make_sheet(PAIRS, seed=1)
    assert sheet == make_sheet(PAIRS, seed=1)
    assert sheet != make_sheet(PAIRS, seed=2)
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [row["id"] for row in rows] != [pair.item_id for pair in PAIRS]
    assert set(sheet.first_stands.values()) == {"left", "right"}
    assert all((row["left"] > row["right"]) == (sheet.first_stands[row["id"]] == "left") for row in rows)


def test_votes_find_their_way_back_through_the_key() -> None:
    sheet = make_sheet(PAIRS, seed=1)
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    for row in rows[:18]:
        row["vote"] = "left" if row["left"].startswith("좋은") else "right"
    rows[18]["vote"] = "tie"
    filled = io.StringIO()
    writer = csv.DictWriter(filled, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    tally = count_votes(sheet.first_stands, read_votes(filled.getvalue()))
    assert (tally.first, tally.second, tally.tie, tally.unvoted) == (18, 0, 1, 1)
    assert tally.probability < 0.001


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "id,vote\nq1,best\n", "id,vote\nq1,left\nq1,right\n"])
def test_a_sheet_that_was_filled_wrongly_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_votes(text)


def test_votes_of_another_sheet_are_not_counted() -> None:
    with pytest.raises(InvalidInput, match="another sheet"):
        count_votes({"q1": "left"}, {"q2": "left"})


def test_equal_answers_are_not_asked_about_and_formulas_are_disarmed() -> None:
    sheet = make_sheet([Pair("1", "=1+1", "=cmd()", "답"), Pair("2", "질문", "같음", "같음")], seed=1)
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [row["id"] for row in rows] == ["1"]
    assert rows[0]["question"] == "'=1+1"
    assert "'=cmd()" in (rows[0]["left"], rows[0]["right"])
