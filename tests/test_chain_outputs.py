"""Which prefixes a job speaks of, and which of them are its exports."""

from __future__ import annotations

from typing import Any

import pytest
from chain_world import at, job
from hypothesis import given
from hypothesis import strategies as st

from auditor.outputs import _NAMED_RUN, _RUN, Output, export_key, outputs, prefix_of


def _said(*arguments: str, properties: Any = None, **more: Any) -> list[tuple[str, str, bool]]:
    row = job(arguments=list(arguments), properties=properties or {}, **more)
    return [(found.bucket, found.prefix, found.declared) for found in outputs(row, [], "export")]


OUT = ("out", "a/b/", True)
CASES: list[tuple[str, list[tuple[str, str, bool]], tuple[str, ...]]] = [
    ("an option before", [OUT], ("--output", "s3a://out/a/b")),
    ("an option with an equals sign", [OUT], ("--output=s3a://out/a/b/",)),
    ("an option in camel case", [OUT], ("--outputPath", "s3a://out/a/b/")),
    ("an option with dashes", [OUT], ("--dest-dir", "s3a://out/a/b/")),
    ("the only path there is", [OUT], ("s3a://out/a/b/",)),
    ("one of two paths that nothing tells apart", [("in", "x/", False), ("out", "a/b/", False)], ("s3a://in/x/", "s3a://out/a/b/")),
    ("an input beside it", [OUT], ("--input", "s3a://in/x/", "s3a://out/a/b/")),
    ("an input and an output", [OUT], ("--input=s3a://in/x/", "--output=s3a://out/a/b/")),
    ("a partition in the path", [("out", "a/dt=2026-01-05/", True)], ("--output", "s3a://out/a/dt=2026-01-05")),
    ("a wildcard cuts the path", [("out", "a/", True)], ("--output", "s3a://out/a/dt=*/x")),
    ("the bucket's root", [("out", "", True)], ("--output", "s3a://out")),
    ("slashes too many", [OUT], ("--output", "s3a://out//a//b//")),
    ("another scheme", [OUT], ("--output", "s3://out/a/b")),
    ("no path of S3", [], ("--output", "gs://out/a/b")),
    ("JSON around it", [OUT], ('{"target": "s3a://out/a/b"}',)),
    ("no arguments", [], ()),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "expected", "arguments"), CASES, ids=[case[0] for case in CASES])
def test_job_speaks_of(
    sentence: str, expected: list[tuple[str, str, bool]], arguments: tuple[str, ...]
) -> None:
    assert _said(*arguments) == expected


def test_warehouses_checkpoints_and_staging_folders_are_no_outputs() -> None:
    properties = {
        "spark.sql.warehouse.dir": "s3a://lake/warehouse/",
        "spark.checkpoint.dir": "s3a://lake/checkpoint/",
        "spark.hadoop.fs.s3a.committer.staging.tmp.path": "s3a://lake/tmp/",
        "spark.app.output.path": "s3a://out/a/b/",
    }

    assert _said(properties=properties) == [OUT]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("daily/dt=2026-01-05/", "daily/dt=2026-01-06/", True),
        ("daily/2026/01/05/", "daily/2026/01/06/", True),
        ("daily/20260105T010000Z/", "daily/20260106T020000Z/", True),
        ("x/run=17/", "x/run=18/", True),
        ("x/run-17/", "x/run-18/", True),
        ("x/2f1b5d7e-1111-4222-8333-944445555666/", "x/3f1b5d7e-1111-4222-8333-944445555667/", True),
        ("daily/region=eu/dt=2026-01-05/", "daily/region=us/dt=2026-01-05/", False),
        ("daily/region=us-east-1/", "daily/region=us-west-1/", False),
        ("tenant=a/dt=2026-01-05/", "tenant=b/dt=2026-01-05/", False),
        ("table_v1/", "table_v2/", False),
        ("orders/", "customers/", False),
        ("update=full/", "update=delta/", False),
    ],
)
def test_runs_share_a_key_when_only_the_run_differs(one: str, other: str, same: bool) -> None:
    assert (export_key("b", one, None) == export_key("b", other, None)) is same


def test_configured_prefix_is_filled_for_the_run_and_cut_where_it_cannot_be() -> None:
    export = {
        "name": "n",
        "project": "*",
        "job_id": "claims-*",
        "bucket": "out",
        "prefix": "a/{date}/{job_id}/",
    }

    def prefix(**more: Any) -> str:
        row = job(arguments=[], labels={}, **more)
        (found,) = outputs(row, [export], "export")
        return found.prefix

    assert prefix() == "a/2026-01-05/claims-u-1/"
    assert prefix(submitted_at=None) == "a/"


def test_label_names_a_configured_export_before_arguments_do() -> None:
    export = {"name": "claims", "project": "", "job_id": "", "bucket": "out", "prefix": "a/{date}/"}
    row = job(
        arguments=["--output", "s3a://out/a/2026-01-05/"], labels={"export": "claims"}, submitted_at=at(5)
    )

    assert outputs(row, [export], "export") == [Output("out", "a/2026-01-05/", "label", True, "claims")]


@given(
    st.lists(st.text(max_size=40), max_size=5),
    st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3),
)
def test_no_argument_is_too_odd_to_be_read(arguments: list[str], properties: dict[str, str]) -> None:
    for bucket, prefix, _ in _said(*arguments, properties=properties):
        assert bucket
        assert prefix == prefix_of(prefix)


@given(
    st.text("ab1f/=-_.Trun:é\n", max_size=60),
    st.sampled_from(["", "/abcdefab-abcd-abcd-abcd-abcdefabcdef/", "dt=2026-01-05/"]),
)
def test_what_belongs_to_a_run_is_found_part_by_part(text: str, more: str) -> None:
    for prefix in (text + more, more + text):
        whole = _RUN.sub("#", _NAMED_RUN.sub(r"\1=#", prefix))
        assert export_key("b", prefix, None) == f"b/{whole}"
