"""Classification of sentiment as in the paper's table 8: accuracy, precision, recall, F1, macro and by class."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from trainer.measures.text import normalised

NO_LABEL: Final = ""


def named_label(answer: str, labels: Sequence[str]) -> str:
    """The label that an answer names first; "" if it names none, which counts as wrong."""
    plain = normalised(answer)
    places = {label: plain.find(normalised(label)) for label in labels}
    found = [label for label in labels if places[label] >= 0]
    return min(found, key=lambda label: (places[label], -len(label)), default=NO_LABEL)


def classification(gold: Sequence[str], said: Sequence[str]) -> Mapping[str, Any]:
    """Accuracy and macro precision, recall and F1 over the gold classes, and the same three for each class."""
    classes = sorted(set(gold))
    precision, recall, f1, support = precision_recall_fscore_support(gold, said, labels=classes, zero_division=0)
    by_class = {
        label: {
            "precision": _told(precision[place]),
            "recall": _told(recall[place]),
            "f1": _told(f1[place]),
            "n": int(support[place]),
        }
        for place, label in enumerate(classes)
    }
    return {
        "accuracy": _told(accuracy_score(gold, said)),
        "precision": _told(precision.mean()),
        "recall": _told(recall.mean()),
        "f1": _told(f1.mean()),
        "n": len(gold),
        "by_class": by_class,
    }


def _told(figure: float) -> float:
    return round(float(figure), 4)
