"""Leak and false-positive rates of the masker per type, its CPU time and memory, held against the gates.

Run: python -m benchmarks.pii_eval [--seed N] [--scorer FILE] [--show N] [--json FILE] The scorer is an independent
program outside the repository (../shared/tools/pii_score.py beside the checkout, or --scorer, or the variable
HAECHI_PII_SCORER). Without it nothing is measured and the command says so with exit status 2.
"""

import argparse
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.pii.generate import SEED, Sample, disguised_set, look_alike_set, plain_set
from benchmarks.pii.hostile import HOSTILE_TEXTS
from llm_service.masked import RawText
from llm_service.masking.masker import Masker, build_masker
from llm_service.retrieval.lexical import Lexical

DEFAULT_SCORER = Path(__file__).parents[2] / "shared" / "tools" / "pii_score.py"
IDENTIFIERS = (
    "KR_RRN",
    "KR_FRN",
    "KR_PASSPORT",
    "KR_DRIVER_LICENSE",
    "CREDIT_CARD",
    "PHONE",
    "EMAIL",
    "IP",
    "VEHICLE_PLATE",
    "KR_BRN",
    "CUSTOMER_ID",
)
MAX_LEAK = dict.fromkeys(IDENTIFIERS, 0.01) | {
    "KR_BANK_ACCOUNT": 0.03,
    "ADDRESS": 0.03,
    "BIRTHDATE": 0.08,
    "PERSON": 0.06,
}
MAX_DISGUISED_DIGITS_LEAK = 0.03
MAX_FALSE_POSITIVES = 0.01
MAX_COLLATERAL = 0.02
MAX_CPU_MS = {"p50": 1.5, "p99": 8.0}
MAX_HOSTILE_CPU_MS = 200.0
MAX_RSS_MB = 450.0
MAX_READY_SECONDS = 5.0

Report = Mapping[str, Any]


def main() -> int:
    options = _options()
    scorer = load_scorer(options.scorer)
    if scorer is None:
        print(
            f"no scorer at {options.scorer}: nothing was measured. Name it with --scorer or HAECHI_PII_SCORER.",
            file=sys.stderr,
        )
        return 2
    masker, ready_seconds = ready_masker(shared=options.shared_analyser)
    sets = {
        "plain": plain_set(options.seed),
        "disguised": disguised_set(options.seed),
        "look_alikes": look_alike_set(options.seed),
    }
    reports = {name: score(scorer, masker, samples, options.show) for name, samples in sets.items()}
    hostile = hostile_milliseconds(masker)
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    broken = broken_gates(reports) + broken_resources(hostile, ready_seconds, rss_mb)
    _print(reports, hostile, ready_seconds, rss_mb, broken)
    if options.json:
        options.json.write_text(
            json.dumps({"reports": reports, "hostile_ms": hostile}, ensure_ascii=False, indent=1), encoding="utf-8"
        )
    return 1 if broken else 0


def ready_masker(*, shared: bool = False) -> tuple[Masker, float]:
    """The masker and the CPU seconds this process has spent until it is ready, imports included.

    `shared`: with retrieval's analyser, as the service has it, and not with one of its own.
    """
    masker = build_masker(analyser=Lexical().analyser if shared else None)
    masker.warm_up()
    return masker, time.process_time()


def load_scorer(path: Path) -> ModuleType | None:
    """The scorer as a module, or None where there is none."""
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("pii_score", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scorer_path() -> Path:
    return Path(os.environ.get("HAECHI_PII_SCORER", DEFAULT_SCORER))


def score(scorer: ModuleType, masker: Masker, samples: Sequence[Sample], show: int = 0) -> dict[str, Any]:
    """The scorer's report on one set; with `show`, some leaks and false positives in clear (the texts are invented)."""
    report, leaks, false_positives = scorer.evaluate(samples, lambda text: str(masker.mask(RawText(text)).text))
    for title, examples in (("LEAK", leaks), ("FALSE POSITIVE", false_positives)):
        for example in examples[:show]:
            print(f"  {title} {example}")
    return dict(report)


def broken_gates(reports: Mapping[str, Report]) -> list[str]:
    """One line per gate that the reports break."""
    plain, disguised = reports["plain"], reports["disguised"]
    broken = [
        f"{type_} leaks {plain['by_type'][type_]['rate']:.2%} > {limit:.0%}"
        for type_, limit in MAX_LEAK.items()
        if plain["by_type"][type_]["rate"] > limit
    ]
    digits = [row for type_, row in disguised["by_type"].items() if type_ not in ("PERSON", "EMAIL", "ADDRESS")]
    digits_rate = sum(row["leaked"] for row in digits) / sum(row["n"] for row in digits)
    if digits_rate > MAX_DISGUISED_DIGITS_LEAK:
        broken.append(f"disguised digits leak {digits_rate:.2%} > {MAX_DISGUISED_DIGITS_LEAK:.0%}")
    broken += [
        f"{name}: {report['fp_rate']:.2%} of the texts without personal data changed > {MAX_FALSE_POSITIVES:.0%}"
        for name, report in reports.items()
        if report["fp_rate"] > MAX_FALSE_POSITIVES
    ]
    if plain["collateral"] > MAX_COLLATERAL:
        broken.append(f"collateral {plain['collateral']:.2%} > {MAX_COLLATERAL:.0%}")
    cpu = plain["cpu_ms_this_process"]
    broken += [f"CPU {name} {cpu[name]} ms > {limit} ms" for name, limit in MAX_CPU_MS.items() if cpu[name] > limit]
    broken += [
        f"{name}: the masker raised on {report['errors']} texts" for name, report in reports.items() if report["errors"]
    ]
    return broken


def broken_resources(hostile: Mapping[str, float], ready_seconds: float, rss_mb: float) -> list[str]:
    worst = max(hostile, key=lambda name: hostile[name])
    checks = {
        f"hostile text {worst!r} takes {hostile[worst]:.0f} ms CPU": hostile[worst] > MAX_HOSTILE_CPU_MS,
        f"ready after {ready_seconds:.1f} s CPU": ready_seconds > MAX_READY_SECONDS,
        f"resident memory {rss_mb:.0f} MB": rss_mb > MAX_RSS_MB,
    }
    return [line for line, is_broken in checks.items() if is_broken]


def hostile_milliseconds(masker: Masker) -> dict[str, float]:
    """CPU milliseconds per hostile text, the better of two runs."""
    return {name: min(_cpu_milliseconds(masker, text) for _ in range(2)) for name, text in HOSTILE_TEXTS.items()}


def _cpu_milliseconds(masker: Masker, text: str) -> float:
    started = time.process_time()
    masker.mask(RawText(text))
    return (time.process_time() - started) * 1000


def _print(
    reports: Mapping[str, Report], hostile: Mapping[str, float], ready: float, rss_mb: float, broken: Sequence[str]
) -> None:
    for name, report in reports.items():
        print(
            f"{name}: {report['samples']} texts; leak {report['leak_rate']:.2%} of {report['entities']} values; "
            f"false positives {report['fp_rate']:.2%} of {report['negatives']} clean texts; "
            f"collateral {report['collateral']:.2%}; CPU ms {report['cpu_ms_this_process']}"
        )
        for type_, row in report["by_type"].items():
            print(f"    {type_:<18} {row['leaked']:>4} / {row['n']:<4} {row['rate']:>7.2%}")
    worst = max(hostile, key=lambda name: hostile[name])
    print(
        f"worst hostile text: {worst}, {hostile[worst]:.0f} ms CPU; "
        f"ready after {ready:.1f} s CPU; resident {rss_mb:.0f} MB"
    )
    print("\n".join(f"GATE BROKEN: {line}" for line in broken) or "all gates hold")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared-analyser", action="store_true", help="with retrieval's analyser, as in the service")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scorer", type=Path, default=scorer_path())
    parser.add_argument("--show", type=int, default=0, metavar="N", help="leaks and false positives to print in clear")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
