"""Trust policies compared, beside cvc5 on the same pairs in the same run; the worst cases alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.figures import Figure
from bench.trust_pairs import adversarial, pairs

if TYPE_CHECKING:
    from auditor.policy.compare import Comparison

BESIDE = 5_000
ALONE = 10_000
CAUSES = ("too complex", "mixed types", "variables beyond equality and prefix")


def trust() -> Iterator[Figure]:
    """Disagreements, undecided verdicts, CPU against cvc5, and how long a pair takes."""
    yield from _beside()
    yield from _alone()
    yield from _worst()


def _compared(a: str, b: str) -> tuple[Comparison, float]:
    """Compare two documents as they arrive, as text; CPU seconds."""
    from auditor.policy.compare import compare
    from auditor.policy.parse import parse

    before = time.process_time()
    found = compare(parse(a), parse(b))
    return found, time.process_time() - before


def _beside() -> Iterator[Figure]:
    try:
        import cvc5  # noqa: F401

        from bench import trust_cvc5
    except ImportError:
        yield Figure(
            "trust policies beside cvc5: install requirements/bench.txt to measure",
            "not measured",
            "0 differ, >= 8 x",
            met=False,
        )
        return
    ours = theirs = 0.0
    disagreements = unnamed = supported = answered = 0
    for a, b in pairs(BESIDE + BESIDE // 5, seed=7):
        if supported == BESIDE:
            break
        before = time.process_time()
        answer = trust_cvc5.verdict(a, b)
        cpu = time.process_time() - before
        if answer == "unsupported":
            continue
        supported += 1
        theirs += cpu
        found, cpu = _compared(json.dumps(a), json.dumps(b))
        ours += cpu
        unnamed += found.verdict == "undecided" and not found.because.startswith(CAUSES)
        if answer != "unknown" and found.verdict != "undecided":
            answered += 1
            disagreements += found.verdict != answer
    what = f"trust policies: verdicts that differ from cvc5's on {answered:,} pairs that both decide"
    yield Figure(what, f"{disagreements}", "0", disagreements == 0 and answered >= 5_000 - supported // 100)
    yield Figure("trust policies: undecided outside the three causes", f"{unnamed}", "0", unnamed == 0)
    ratio = theirs / ours
    what = f"trust policies: CPU of cvc5 ({theirs:.1f} s) against ours ({ours:.2f} s) on {supported:,} pairs"
    yield Figure(what, f"{ratio:.1f} x", ">= 8 x", ratio >= 8)


def _alone() -> Iterator[Figure]:
    times = sorted(_compared(json.dumps(a), json.dumps(b))[1] for a, b in pairs(ALONE, seed=8))
    middle, late = times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000
    yield Figure("trust policies: CPU of a pair, median", f"{middle:.2f} ms", "", met=True)
    yield Figure("trust policies: CPU of a pair, p99", f"{late:.2f} ms", "5 ms", late <= 5)
    yield Figure(f"trust policies: CPU of {ALONE:,} pairs", f"{sum(times):.1f} s", "15 s", sum(times) <= 15)


def _worst() -> Iterator[Figure]:
    for name, a, b in adversarial():
        found, cpu = _compared(json.dumps(a), json.dumps(b))
        yield Figure(f"trust policies, worst cases: {name} ({found.verdict})", f"{cpu:.2f} s", "1 s", cpu < 1)
