"""Measure: `python -m bench [NAME ...] [--record]`. CPU seconds over wall time, for machines are noisy; ratios in one run.

`--record` puts the rows into bench/README.md in place of the earlier ones of the same names.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.chain import chain, chain_large
from bench.figures import FIGURES, Figure
from bench.increments import increments
from bench.inventory import inventory
from bench.ledger import ledger
from bench.logs import logs
from bench.rules import rules
from bench.service import service
from bench.spark import spark
from bench.trust import trust
from bench.year import year

EVERY: dict[str, Callable[[], Iterator[Figure]]] = {
    **FIGURES,
    "increments": increments,
    "chain": chain,
    "inventory": inventory,
    "logs": logs,
    "rules": rules,
    "trust": trust,
    "ledger": ledger,
    "service": service,
    "year": year,
}
LARGE: dict[str, Callable[[], Iterator[Figure]]] = {"chain_large": chain_large, "spark": spark}
"""Those that take long and much disk: only when they are named."""
README = Path(__file__).with_name("README.md")
HEAD = "| figure | measured | limit | met | command |\n| --- | --- | --- | --- | --- |\n"
FROM, TO = "<!-- figures -->\n", "<!-- end of figures -->"
_ROW = re.compile(r"^\| .* \| `python -m bench (\w+)` \|\n", re.MULTILINE)


def main(names: list[str], *, recording: bool) -> int:
    """Print a row a figure; 1 when one misses its limit."""
    unknown = sorted(set(names) - EVERY.keys() - LARGE.keys())
    if unknown:
        print(f"there is no figure {unknown[0]!r}; there are {', '.join((*EVERY, *LARGE))}", file=sys.stderr)
        return 2
    missed = 0
    rows: dict[str, str] = {}
    print(f"On {machine()}.\n\n{HEAD}", end="", flush=True)
    for name in names or list(EVERY):
        for figure in (EVERY | LARGE)[name]():
            missed += not figure.met
            met = "" if not figure.limit else "yes" if figure.met else "**no**"
            row = f"| {figure.what} | {figure.value} | {figure.limit} | {met} | `python -m bench {name}` |\n"
            rows[name] = rows.get(name, "") + row
            print(row, end="", flush=True)
    if recording:
        record(rows)
    return 1 if missed else 0


def machine() -> str:
    """Say on what it was measured."""
    import botocore
    import duckdb

    versions = (
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, botocore {botocore.__version__}"
    )
    return f"{os.cpu_count()} shared cores, {platform.system()} {platform.machine()}, {versions}"


def record(rows: dict[str, str]) -> None:
    """Put rows into the README's table; those of other names stay."""
    before, _, rest = README.read_text(encoding="utf-8").partition(FROM)
    table, _, after = rest.partition(TO)
    kept: dict[str, str] = {}
    for row in _ROW.finditer(table):
        kept[row[1]] = kept.get(row[1], "") + row[0]
    kept |= rows
    body = "".join(kept.get(name, "") for name in (*EVERY, *LARGE))
    README.write_text(f"{before}{FROM}Measured on {machine()}.\n\n{HEAD}{body}{TO}{after}", encoding="utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main([word for word in given if word != "--record"], recording="--record" in given))
