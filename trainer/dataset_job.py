"""The job that builds a dataset, with the real finder of personal data and the frozen evaluation sets of this machine.

Importing it loads the masker's libraries, PyTorch among them (spaCy brings it in where it is installed): seconds.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache

from llm_service.errors import HaechiError
from llm_service.masked import RawText
from llm_service.masking.masker import MAX_MASK_CHARACTERS, Masker, build_masker
from llm_service.settings import Settings
from llm_service.store import datasets
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.transactions import Transactions
from trainer.dataset import FindPersonalData, Sources, build, evaluation_questions


def build_dataset(transactions: Transactions, settings: Settings, version_id: str) -> str:
    """Build and freeze a requested dataset; one that cannot be built is marked failed. Returns its name."""
    sources = Sources(personal_data_finder(masker()), evaluation_questions(settings.learning_root / "evaluation"))
    try:
        return build(transactions, DatasetFiles(settings.datasets_directory), version_id, sources)
    except HaechiError as error:
        code = error.code
        transactions.run_blocking(lambda session: datasets.fail(session, version_id, code))
        raise


def personal_data_finder(finder: Masker) -> FindPersonalData:
    """Counts the values of persons in a text by type, piece by piece where it is long; placeholders are none."""

    def find(text: str) -> Mapping[str, int]:
        step = MAX_MASK_CHARACTERS // 2
        pieces = [text[at : at + MAX_MASK_CHARACTERS] for at in range(0, max(1, len(text) - step), step)]
        return Counter(entity.type for piece in pieces for entity in finder.detect_in_reply(RawText(piece)))

    return find


@cache
def masker() -> Masker:
    """The masker of this process, warmed up."""
    built = build_masker()
    built.warm_up()
    return built
