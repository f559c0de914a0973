"""A small schema of its own for tests of the rule language, and rules and facts over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from auditor.engines.duckdb import Engine
from auditor.evaluate import evaluate
from auditor.rulepack import Pack, load
from auditor.schema import Column, Table, boolean, integer, text, time
from auditor.schema import json as json_column

UP = (("point", "region"),)
THING = Table(
    "thing_facts",
    "Things.",
    ("name",),
    (
        text("name", "name"),
        text("zone", "zone"),
        text("account", "account"),
        text("region", "region"),
        text("owner", "owner"),
        integer("size", "how big"),
        text("state", "a word"),
        boolean("flag", "a flag"),
        time("from_at", "start"),
        time("until_at", "end"),
        integer("lag_s", "a lag"),
        json_column("tags", "map"),
        json_column("names", "list"),
        Column("points", "INT", "points seen", reads=UP, unseen="raise"),
        Column("fewest", "INT", "least", reads=UP, unseen="lower"),
        Column("mixed", "INT", "sum", reads=UP, unseen="either"),
        Column("newest_at", "TIME", "newest point", reads=UP, unseen="raise"),
        Column("found", "BOOL", "there is one", reads=UP, unseen="raise"),
        Column("clean", "BOOL", "nothing bad", reads=UP, unseen="lower"),
        Column("which", "TEXT", "its name", reads=UP, unseen="raise"),
        Column("holders", "JSON", "list", reads=UP, unseen="raise"),
        Column("copies", "INT", "copies", reads=(("copy", "account"),), unseen="raise"),
        Column("settings", "INT", "settings", reads=(("setting", "resource"),), unseen="raise"),
    ),
    kind="fact",
    entity="thing",
    listed_by=(("thing", "region"),),
)
SOURCES = ("thing", "point", "copy", "setting")
PLACE = {"account": "111111111111", "region": "eu-west-1"}
KINDS = {column.name: column.type for column in THING.columns}


def block(expr: str = "size > 0", **more: Any) -> dict[str, Any]:
    """Return a rule as YAML has it, with whatever stands against needing every example."""
    verdicts = ("pass", "fail", "unknown", "not_applicable")
    given: dict[str, Any] = {
        "id": "a-rule",
        "code": "TST-001",
        "title": "A rule",
        "severity": "high",
        "supports": ["soc2/A1.2"],
        "for": "thing",
        "checks": [{"name": "it holds", "expr": expr}],
        "because": "{name} is {size}",
        "remedy": "Do it.",
        "cannot": dict.fromkeys(verdicts, "a test"),
        "examples": [],
    }
    given |= more
    judged = {example["verdict"] for example in given["examples"]}
    given["cannot"] = {verdict: why for verdict, why in given["cannot"].items() if verdict not in judged}
    return given


def pack_of(folder: Path, *blocks: Mapping[str, Any] | str, name: str = "tests") -> Pack:
    """Write a pack and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    frameworks = folder / "frameworks"
    frameworks.mkdir(exist_ok=True)
    (frameworks / "soc2.yaml").write_text(
        "framework: soc2\ntitle: SOC 2\ncontrols:\n"
        "  - {id: A1.2, paraphrase: Back up and keep}\n  - {id: CC6.1, paraphrase: Keep out}\n"
    )
    listed = "\n".join(
        each
        if isinstance(each, str)
        else yaml.safe_dump([dict(each)], sort_keys=False, allow_unicode=True, width=1000)
        for each in blocks
    )
    (folder / "tests.yaml").write_text(f"pack: {name}\nrules:\n{listed}")
    return load([folder / "tests.yaml"], [frameworks], schema={THING.name: THING})


def seen(*tables: str, **place: str) -> list[dict[str, Any]]:
    """Return coverage that says these tables were read to the end."""
    where = PLACE | {"resource": "*"} | place
    return [{"table_name": table, "complete": True, "reason": "", "detail": ""} | where for table in tables]


def gap(table: str, **place: str) -> dict[str, Any]:
    """Return coverage that says a table was denied."""
    where = PLACE | {"resource": "*"} | place
    return {"table_name": table, "complete": False, "reason": "denied", "detail": "no permission"} | where


@cache
def _engine() -> Engine:
    return Engine.open(None)


def empty_engine() -> Engine:
    """Return the engine that tests share, its tables emptied: opening one makes every table of the schema."""
    engine = _engine()
    for table in ("coverage", "config_zone", "params", "history_scan", "as_of"):
        engine.execute(f"DELETE FROM {table}")
    engine.execute(f"DROP TABLE IF EXISTS {THING.name}")
    return engine


def judge(
    pack: Pack,
    things: Iterable[Mapping[str, Any]],
    coverage: Iterable[Mapping[str, Any]] | None = None,
    *,
    zones: Iterable[str] = (),
    params: Iterable[Mapping[str, Any]] = (),
    scans: Iterable[Mapping[str, Any]] = (),
    as_of: Any = None,
) -> list[dict[str, Any]]:
    """Judge things in an engine and return the outcomes, JSON columns decoded."""
    engine = empty_engine()
    engine.insert("coverage", list(seen(*SOURCES) if coverage is None else coverage))
    engine.insert("config_zone", [{"zone": zone, "rank": at} for at, zone in enumerate(zones)])
    engine.insert("params", params)
    engine.insert("history_scan", scans)
    engine.insert("as_of", [] if as_of is None else [{"as_of": as_of}])
    engine.insert(THING.name, [PLACE | dict(thing) for thing in things], columns=KINDS)
    evaluate(engine, pack)
    rows = engine.rows("SELECT * FROM outcome ORDER BY code, rule, subject_key")
    for row in rows:
        for name in ("params", "failed_checks", "unknown_checks", "gaps", "refs"):
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
    return rows


def verdict(
    folder: Path, expr: str, thing: Mapping[str, Any], coverage: Iterable[Mapping[str, Any]] | None = None
) -> str:
    """Return the verdict of one expression on one thing."""
    pack = pack_of(folder, block(expr))
    assert pack.broken == (), pack.broken
    return str(judge(pack, [{"name": "t"} | dict(thing)], coverage)[-1]["verdict"])
