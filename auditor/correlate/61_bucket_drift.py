"""Which guards of each bucket are weaker than in the scan before, or than was approved.

Which way is weaker, the schema says of each column. The public access block counts as it acts: a flag that the account
sets too has not weakened when the bucket drops it. A changed bucket policy is compared by meaning: what it admits by
itself, and what it denies to everyone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.approving import Then
from auditor.policy.change import resource_change
from auditor.schema import tables as schema_tables

TABLE = "bucket_drift"
READS = ("s3_bucket", "aws_account", "history_watch", "history_baseline")

BLOCK = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket that the scan before knew, or that has an approved state."""
    then = Then(tables)
    accounts = {row["account"]: row for row in tables["aws_account"]}
    for bucket in tables["s3_bucket"]:
        old = then.row("s3_bucket", bucket["arn"])
        if old is None:
            continue
        account = accounts.get(bucket["account"], {})
        home = then.other("s3_bucket", bucket["arn"], "aws_account", bucket["account"])
        weaker, open_ = [], []
        for field in guards():
            was, now = _read(field, old.get(field)), bucket[field]
            if field in BLOCK:
                now = _either(now, account.get(field))
                was = _either(was, _read(field, home.get(field)))
            verdict = _weaker(field, was, now)
            if verdict:
                weaker.append(f"{field}: {_word(was)} -> {_word(now)}")
            elif verdict is None:
                open_.append(field)
        yield {
            "bucket_arn": bucket["arn"],
            "weakened": weaker,
            "not_compared": open_,
            "compared_with": then.words("s3_bucket", bucket["arn"], (*guards(), "policy")),
            **_policy(old.get("policy"), bucket),
        }


@cache
def guards() -> tuple[str, ...]:
    """Return the watched columns of a bucket that have a better and a worse."""
    columns = schema_tables()["s3_bucket"].columns
    return tuple(c.name for c in columns if c.watch and c.watch != "change" and c.name != "eventbridge")


def _weaker(field: str, was: Any, now: Any) -> bool | None:
    if was is None or now is None:
        return None
    if was == now:
        return False
    order = _order(field)
    if not order:
        return bool(was) and not now
    if was not in order or now not in order:
        return None
    return order.index(now) > order.index(was)


def _order(field: str) -> tuple[str, ...]:
    watch = schema_tables()["s3_bucket"].column(field).watch
    return tuple(watch.split(">")) if ">" in watch else ()


def _read(field: str, value: str | None) -> Any:
    """Return a remembered value in the column's type: it is kept as text."""
    if value is None or schema_tables()["s3_bucket"].column(field).type != "BOOL":
        return value
    return value.lower() in {"true", "1", "t"}


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False


def _policy(was: str | None, bucket: Mapping[str, Any]) -> dict[str, Any]:
    """Say whether the policy lets in no more than before; NULL when that is undecided or one side is not known."""
    now = bucket["policy"]
    if was is None or now is None:
        return {"policy_no_looser": None, "policy_change_says": "one of its policies is not known"}
    if was == now:
        return {"policy_no_looser": True, "policy_change_says": ""}
    change = resource_change(was, now, bucket["arn"], bucket["account"])
    return {
        "policy_no_looser": None if change.verdict == "undecided" else not change.opens,
        "policy_change_says": change.because if change.opens else "",
    }


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
