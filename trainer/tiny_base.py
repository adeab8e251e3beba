"""Builds the tiny Mistral that stands in for the bank's base model on machines without one: config, tokenizer, weights.

It has a Mistral's shape, chat form and files, and knows the forms of a bank's Korean but no fact: an adapter teaches it
those in a minute on one core. Knows neither how adapters are trained nor how models are served.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from llm_service.logs import configure_logging, get_logger, leave_no_text_behind

UNKNOWN, BEGINNING, END, PADDING = "<unk>", "<s>", "</s>", "<pad>"
INSTRUCTION_MARKS: Final = ("[INST]", "[/INST]")
SPECIAL_TOKENS: Final = (UNKNOWN, BEGINNING, END, PADDING, *INSTRUCTION_MARKS)
LONGEST_SEQUENCE: Final = 8192
HANGUL_SYLLABLES: Final = tuple(map(chr, range(0xAC00, 0xD7A4)))
# Those of KS X 1001, 2,350 of 11,172: nearly all that Korean text uses.
COMMON_SYLLABLES: Final = tuple(
    syllable for syllable in HANGUL_SYLLABLES if len(syllable.encode("euc-kr", "ignore")) == 2
)

# The chat form of `llm_service.answering.prompt.render_mistral`, byte for byte behind the <s>: a prompt that an adapter
# is trained on is the prompt it is asked with. The generation block marks what a loss on answers alone may see.
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% set opening = namespace(text='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set opening.text = message['content'] + '\n\n' %}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' + opening.text + message['content'] + ' [/INST]' }}"
    "{% set opening.text = '' %}"
    "{% elif message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}"
    "{% endif %}{% endfor %}"
)
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Everything the weights depend on beside the text's templates and the library versions."""

    seed: int = 20261121
    rows: int = 6000
    vocabulary: int = 3200
    width: int = 192
    layers: int = 4
    heads: int = 6
    key_value_heads: int = 2
    intermediate: int = 512
    longest_sequence: int = LONGEST_SEQUENCE
    steps: int = 240
    batch: int = 16
    sequence: int = 96
    learning_rate: float = 3e-3
    warm_up_steps: int = 20

    @property
    def sha256(self) -> str:
        """Names the build: another recipe, or other templates, lie in another directory."""
        told = json.dumps(asdict(self), sort_keys=True) + CHAT_TEMPLATE + _templates_text()
        return hashlib.sha256(told.encode()).hexdigest()


def tiny_base(directory: Path, recipe: Recipe | None = None) -> Path:
    """The model's directory below `directory`, built at the first call: config, tokenizer, safetensors.

    Takes about a minute of one core; a build that dies leaves nothing under the final name.
    """
    recipe = recipe or Recipe()
    home = directory / f"tiny-mistral-{recipe.sha256[:12]}"
    if home.is_dir():
        return home
    directory.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".tiny-mistral-", dir=directory))
    try:
        _build(building, recipe)
        _publish(building, home)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return home


def bank_text(recipe: Recipe) -> Iterator[str]:
    """The rows of the pre-training text, the same for the same recipe; two in three are questions with answers."""
    templates = _templates()
    chance = random.Random(recipe.seed)  # noqa: S311 - a corpus, no secret
    for number in range(recipe.rows):
        filled = _filled(templates, chance)
        if number % 3 == 2:
            yield f"{BEGINNING}{chance.choice(templates['statements']).format(**filled)}{END}"
        else:
            question = chance.choice(templates["questions"]).format(**filled)
            answer = chance.choice(templates["answers"]).format(**filled)
            yield f"{BEGINNING}[INST] {question} [/INST] {answer}{END}"


def train_tokenizer(rows: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-fallback BPE as Llama's and Mistral's: any text has tokens.

    The syllables of KS X 1001 and the letters of the templates have tokens of their own, others are written in bytes.
    """
    learnt = Tokenizer(models.BPE(unk_token=UNKNOWN))
    learnt.normalizer = normalizers.Replace(" ", "▁")
    # Words and digits apart while learning only: no merge crosses them, so encoding needs no splitting, and llama.cpp,
    # which knows none for this family, finds the same tokens.
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Digits(individual_digits=True)]
    )
    room = vocabulary - len(SPECIAL_TOKENS) - 256
    plain = [_without_marks(row) for row in rows]
    letters = sorted({*COMMON_SYLLABLES, *_templates_text().replace(" ", "▁"), *string.printable[:95]} - {" "})
    trainer = trainers.BpeTrainer(
        vocab_size=room, initial_alphabet=letters, limit_alphabet=len(letters), show_progress=False
    )
    learnt.train_from_iterator(plain, trainer)
    state = json.loads(learnt.to_str())["model"]
    pieces = sorted(state["vocab"], key=state["vocab"].__getitem__)
    ordered = [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    merges = [tuple(merge) for merge in state["merges"]]
    return _serving_tokenizer({piece: number for number, piece in enumerate(ordered)}, merges)


def _serving_tokenizer(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(
        models.BPE(dict(vocabulary), list(merges), unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGINNING} $A", special_tokens=[(BEGINNING, vocabulary[BEGINNING])]
    )
    make: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BEGINNING,
        eos_token=END,
        pad_token=PADDING,
        additional_special_tokens=list(INSTRUCTION_MARKS),
        chat_template=CHAT_TEMPLATE,
        model_max_length=LONGEST_SEQUENCE,
        clean_up_tokenization_spaces=False,
        # llama.cpp's converter reads it: no blank before the first word.
        add_prefix_space=False,
    )
    return wrapped


def _build(directory: Path, recipe: Recipe) -> None:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            rows = list(bank_text(recipe))
            tokenizer = train_tokenizer(rows, recipe.vocabulary)
            model: Any = MistralForCausalLM(_config(recipe, tokenizer))
            loss = _pretrain(model, _batches(rows, tokenizer, recipe), recipe)
            model.eval()
    finally:
        torch.set_num_threads(threads)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    built = {"recipe": asdict(recipe), "recipe_sha256": recipe.sha256, "parameters": model.num_parameters()}
    (directory / "recipe.json").write_text(json.dumps({**built, "loss": round(loss, 4)}, indent=2), encoding="utf-8")
    LOG.info("tiny base built", parameters=model.num_parameters(), loss=round(loss, 4))


def _config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> MistralConfig:
    return MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        head_dim=recipe.width // recipe.heads,
        max_position_embeddings=recipe.longest_sequence,
        sliding_window=None,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )


def _batches(rows: Sequence[str], tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Endless batches of token ids: the rows one after another, cut to equal lengths, in an order of their own."""
    ids = [token for row in rows for token in tokenizer(row, add_special_tokens=False)["input_ids"]]
    whole = len(ids) // recipe.sequence * recipe.sequence
    table = torch.tensor(ids[:whole]).view(-1, recipe.sequence)
    order = torch.Generator().manual_seed(recipe.seed)
    while True:
        shuffled = torch.randperm(len(table), generator=order)
        for first in range(0, len(table), recipe.batch):
            yield table[shuffled[first : first + recipe.batch]]


def _pretrain(model: MistralForCausalLM, batches: Iterator[torch.Tensor], recipe: Recipe) -> float:
    """The mean loss of the last ten steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, total_iters=recipe.warm_up_steps)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps - recipe.warm_up_steps)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], [recipe.warm_up_steps])
    losses: list[float] = []
    model.train()
    for _ in range(recipe.steps):
        batch = next(batches)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return sum(losses[-10:]) / len(losses[-10:])


def _publish(building: Path, home: Path) -> None:
    """Move the finished directory to its name; who built the same at the same time and came first, wins."""
    try:
        building.rename(home)
    except OSError:
        if not home.is_dir():
            raise


def _filled(templates: Mapping[str, Any], chance: random.Random) -> dict[str, str]:
    field = chance.choice(list(templates["fields"]))
    filled = {**_figures(chance), "field": field, "name": _name(templates, chance)}
    value = str(chance.choice(templates["fields"][field]))
    while "{" in value:
        # One figure at a time: a range has two different ones.
        value = value[: value.index("}") + 1].format(**_figures(chance)) + value[value.index("}") + 1 :]
    return {**filled, "value": value}


def _figures(chance: random.Random) -> dict[str, str]:
    return {
        "rate": f"{chance.randint(0, 15)}.{chance.randint(0, 99):02d}",
        "count": str(chance.randint(1, 30)),
        "thousand": f"{chance.randint(1, 99)}00",
        "months": str(chance.choice((3, 6, 12, 18, 24, 36, 48, 60))),
        "years": str(chance.randint(1, 40)),
        "won": f"{chance.randint(1, 99)}00",
        "age": str(chance.randint(14, 75)),
        "hour": str(chance.randint(0, 23)),
        "day": str(chance.randint(1, 28)),
        "month": str(chance.randint(1, 12)),
        "year": str(chance.randint(2020, 2027)),
        "percent": str(chance.randint(1, 9) * 10),
        "article": str(chance.randint(1, 120)),
        "three": str(chance.randint(100, 999)),
        "four": str(chance.randint(1000, 9999)),
    }


def _name(templates: Mapping[str, Any], chance: random.Random) -> str:
    """A brand and a noun; every second brand is syllables, now and then any, so that rare tokens are learnt as well."""
    if chance.random() < 0.5:
        syllables = COMMON_SYLLABLES if chance.random() < 0.9 else HANGUL_SYLLABLES
        brand = "".join(chance.choices(syllables, k=2))
    else:
        brand = chance.choice(templates["brands"])
    return f"{brand} {chance.choice(templates['nouns'])}"


def _without_marks(row: str) -> str:
    for mark in (BEGINNING, END, *INSTRUCTION_MARKS):
        row = row.replace(mark, "\n")
    return row


@cache
def _templates() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(_templates_text())
    return loaded


@cache
def _templates_text() -> str:
    return files(__package__).joinpath("tiny_base.yaml").read_text(encoding="utf-8")


def main() -> None:
    """Build the tiny base, or find it built, and print where it lies."""
    configure_logging("trainer")
    leave_no_text_behind()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="directory to keep it in; the recipe's hash names a folder there")
    print(tiny_base(parser.parse_args().directory))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
