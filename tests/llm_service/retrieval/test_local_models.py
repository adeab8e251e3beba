"""Models of this machine are read from their directory alone, known by their files, and stop when their time is up."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_service.errors import Misconfigured, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.embedding import Embedder, Prefixes
from llm_service.retrieval.rerank import Reranker

# PyTorch would start a thread a core for vectors of sixteen numbers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra `embeddings` is missing")
transformers = pytest.importorskip("transformers", reason="the extra `embeddings` is missing")
encoders = pytest.importorskip("sentence_transformers", reason="the extra `embeddings` is missing")
local_models = pytest.importorskip("llm_service.retrieval.local_models", reason="the extra `embeddings` is missing")

SYLLABLES = "가나다라마바사아자차카타파하적금저축대출카드이율만기 "
QUESTION = MaskedText("적금 이율")
PASSAGES = [MaskedText(text) for text in ("적금 이율", "대출 만기", "카드", "저축", "가나다", "라마바")]


def _transformer(directory: Path, heads: int | None = None, seed: int = 0) -> None:
    """A BERT of one layer with random weights and a vocabulary of syllables."""
    torch.manual_seed(seed)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(SYLLABLES))]
    vocabulary = {word: number for number, word in enumerate(words)}
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        **({"num_labels": heads} if heads else {}),
    )
    kind = transformers.BertForSequenceClassification if heads else transformers.BertModel
    kind(config).save_pretrained(directory)
    transformers.BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(directory)


def _encoder(directory: Path, seed: int = 0) -> Path:
    _transformer(directory / "plain", seed=seed)
    # A directory without modules.json gets mean pooling; saved again, it is one of sentence-transformers' own form.
    encoders.SentenceTransformer(str(directory / "plain"), device="cpu").save(str(directory / "model"))
    return directory / "model"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cross-encoder")
    _transformer(directory, heads=1)
    return directory


@pytest.fixture(scope="module")
def embedder(encoder: Path) -> Iterator[Embedder]:
    opened = local_models.DirectoryEmbedder(encoder, Prefixes())
    yield opened
    opened.close()


def test_a_directory_gives_one_unit_vector_a_text(embedder: Embedder) -> None:
    vectors = embedder.passages([(MaskedText("제목"), text) for text in PASSAGES])
    assert vectors.shape == (len(PASSAGES), embedder.model().dimensions) == (6, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 6)


def test_a_question_is_nearest_to_the_same_words(embedder: Embedder) -> None:
    vectors = embedder.passages([(MaskedText(""), text) for text in PASSAGES])
    assert int((vectors @ embedder.question([QUESTION])).argmax()) == 0
    assert embedder.question([MaskedText("적금"), MaskedText("이율")]) == pytest.approx(embedder.question([QUESTION]))


def test_a_model_is_known_by_its_weights_and_prefixes(embedder: Embedder, encoder: Path, tmp_path: Path) -> None:
    identity = embedder.model().identity
    assert local_models.DirectoryEmbedder(encoder, Prefixes()).model().identity == identity
    assert local_models.DirectoryEmbedder(encoder, Prefixes("질문: ")).model().identity != identity
    assert local_models.DirectoryEmbedder(_encoder(tmp_path, seed=1), Prefixes()).model().identity != identity


def test_a_large_file_is_known_by_samples_all_over_it(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    content = bytearray(range(256)) * 20_000
    weights.write_bytes(content)
    before = local_models.fingerprint(tmp_path)
    for place in (0, -1):
        changed = bytearray(content)
        changed[place] ^= 1
        weights.write_bytes(changed)
        assert local_models.fingerprint(tmp_path) != before


def test_a_cross_encoder_scores_each_passage(cross_encoder: Path) -> None:
    reranker: Reranker = local_models.DirectoryReranker(cross_encoder, 20, 60.0)
    scores = reranker.scores([QUESTION], PASSAGES)
    assert len(scores) == len(PASSAGES)
    assert scores == pytest.approx([score for text in PASSAGES for score in reranker.scores([QUESTION], [text])])


def test_a_cross_encoder_stops_when_its_time_is_up(cross_encoder: Path) -> None:
    ticks = iter(range(100))
    reranker = local_models.DirectoryReranker(cross_encoder, 20, 1.5, clock=lambda: float(next(ticks)))
    assert len(reranker.scores([QUESTION], PASSAGES[:4])) == 4
    with pytest.raises(Unavailable) as gone:
        reranker.scores([QUESTION], PASSAGES)
    assert gone.value.code == "rerank_timeout"


def test_a_classifier_of_several_labels_is_no_cross_encoder(tmp_path: Path) -> None:
    _transformer(tmp_path, heads=3)
    with pytest.raises(Misconfigured, match="one score a pair"):
        local_models.DirectoryReranker(tmp_path, 20, 1.0)


def test_a_directory_without_a_model_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="HAECHI_EMBEDDINGS"):
        local_models.DirectoryEmbedder(tmp_path, Prefixes())
    with pytest.raises(Misconfigured, match="HAECHI_RERANKER"):
        local_models.DirectoryReranker(tmp_path, 20, 1.0)


def test_the_service_loads_no_model_library_unless_a_setting_asks_for_it() -> None:
    program = "import sys, llm_service.app; sys.exit('sentence_transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False).returncode == 0
