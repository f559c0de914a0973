"""Measure: `python -m bench [NAME ...]`. CPU seconds over wall time, for machines are noisy; ratios in one run."""

from __future__ import annotations

import sys

from bench.figures import FIGURES


def main(names: list[str]) -> int:
    """Print a row a figure; 1 when one misses its limit."""
    unknown = sorted(set(names) - FIGURES.keys())
    if unknown:
        print(f"there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    missed = 0
    print("| figure | measured | limit | met | command |\n| --- | --- | --- | --- | --- |")
    for name in names or list(FIGURES):
        for figure in FIGURES[name]():
            missed += not figure.met
            met = "yes" if figure.met else "**no**"
            print(
                f"| {figure.what} | {figure.value} | {figure.limit} | {met} | `python -m bench {name}` |",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
