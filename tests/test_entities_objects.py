"""What rules judge of objects by group, of their keys and of replication: the hostile cases first."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.entities import BUCKET, EU, HOME, US, VAULT, ago, bucket, estate, facts, vault

K1 = f"arn:aws:kms:{EU}:{HOME}:key/k1"
K2 = f"arn:aws:kms:{EU}:{HOME}:key/k2"
NAME = "exports-phi"
DECLARED = [{"name": "claims", "bucket": NAME, "prefix": "claims/date={date}/", "project": "*", "job_id": ""}]


def key(arn: str = K1, **more: Any) -> dict[str, Any]:
    """Return a customer's key with nothing wrong with it."""
    policy = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return {
        "arn": arn, "account": HOME, "region": EU, "named_as": [arn], "manager": "CUSTOMER", "state": "Enabled",
        "origin": "AWS_KMS", "spec": "SYMMETRIC_DEFAULT", "rotation": True, "policy": document(policy),
    } | more  # fmt: skip


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def version(path: str, **more: Any) -> dict[str, Any]:
    """Return a version of which everything is known and nothing wrong."""
    at = more.pop("at", ago(days=1))
    return {
        "bucket": NAME, "key": path, "dir": path[: path.rfind("/") + 1], "last_modified": at, "exists_at": at,
        "storage_class": "STANDARD", "is_latest": True, "is_delete_marker": False, "checksummed": True,
        "own_key": True, "sse_c": False, "witness": "job",
    } | more  # fmt: skip


def home(**more: Any) -> dict[str, Any]:
    return {
        "bucket": NAME, "encryption": "aws:kms", "kms_key": K1, "other_writers": False, "holds_possible": False,
    } | more  # fmt: skip


def groups(*versions: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
    """Return the groups of one bucket's objects."""
    tables: dict[str, Any] = {
        "version": versions, "object_home": [home()], "config_export": DECLARED,
    } | more  # fmt: skip
    return facts(estate(**tables), "object_group")


# ------------------------------------------------------------------------------------------ objects
def test_the_objects_of_one_export_are_one_group_however_deep_they_lie() -> None:
    found = groups(
        version("claims/date=1/a"), version("claims/date=1/b/c/d"), version("claims/date=1/_SUCCESS")
    )
    assert list(found) == [f"{NAME}/claims/date=1/"]
    group = found[f"{NAME}/claims/date=1/"]
    assert (group["objects"], group["zone"], group["listed_in"]) == (3, "phi", BUCKET)


def test_each_run_is_a_group_and_what_jobs_were_seen_changes_nothing() -> None:
    written = [version("claims/date=2/x/a"), version("claims/date=3/a")]
    seen = [{"export_id": "e", "bucket": NAME, "prefix": "claims/date=3/", "found_by": "config"}]
    found = groups(*written)
    assert [group["prefix"] for group in found.values()] == ["claims/date=2/", "claims/date=3/"]
    assert found == groups(*written, export_output=seen)
    assert {group["outside"] for group in found.values()} == {0}


def test_a_sibling_of_a_declared_prefix_is_outside() -> None:
    found = groups(
        version("claims/date=1/a"), version("claims/other/a"), version("claims-2/a"), version("top")
    )
    outside = {group["prefix"]: group["outside"] for group in found.values()}
    assert outside == {"claims/date=1/": 0, "claims/other/": 1, "claims-2/": 1, "": 1}


@pytest.mark.parametrize(
    ("prefix", "path", "declared"),
    [
        ("a/{date}/b/", "a/1/b/x", True),
        ("a/{date}/b/", "a/1/2/b/x", False),  # a run's own part is one folder
        ("a/{date}/b/", "a/1/c/b/x", False),
        ("a/*/", "a/x", False),
        ("a/*/", "a/1/deeper/x", True),
        ("a_b/{date}/", "a-b/1/x", False),
        ("a%/{date}/", "ax/1/x", False),
        ("{date}/", "1/x", True),
        ("{date}/", "x", False),
        ("", "anything/x", True),
        ("a/date={date}-{job_id}/", "a/date=1-2/x", True),
        ("a/date={date}-{job_id}/", "a/date=1/x", False),
    ],
)
def test_a_declared_prefix_takes_in_its_runs_and_no_neighbour(prefix: str, path: str, declared: bool) -> None:
    export = [DECLARED[0] | {"prefix": prefix}]
    (group,) = groups(version(path), config_export=export).values()
    assert group["outside"] == (0 if declared else 1)


def test_a_jobs_own_prefix_that_is_not_declared_is_a_shadow_export() -> None:
    shadow = [{"export_id": "s", "bucket": NAME, "prefix": "shadow/run=7/", "found_by": "arguments"}]
    found = groups(version("shadow/run=7/a"), version("shadow/run=8/b"), export_output=shadow)
    assert found[f"{NAME}/shadow/"]["outside"] == 2


@pytest.mark.parametrize(
    ("witness", "writers", "outside", "known"),
    [
        ("declared", True, 0, True),
        ("foreign", True, 1, True),
        (None, True, 0, None),  # the declared writer's, or a stranger's: nobody can say
        (None, False, 1, True),
        (None, None, None, None),
    ],
)
def test_what_declared_writers_wrote_is_theirs_where_an_event_tells_it(
    witness: str | None, writers: bool | None, outside: int | None, known: bool | None
) -> None:
    found = groups(version("inventory/a", witness=witness), object_home=[home(other_writers=writers)])
    group = found[f"{NAME}/inventory/"]
    assert (group["outside"], group["outside_known"]) == (outside, known)
    assert bool(group["outside_says"]) == (known is None)


def test_without_declared_exports_nothing_says_what_is_outside() -> None:
    (group,) = groups(version("a/b"), config_export=[]).values()
    assert (group["outside"], group["outside_known"]) == (None, None)
    assert "declares no export" in group["outside_says"]


def test_delete_markers_and_old_versions_are_no_objects_and_old_versions_are_still_there() -> None:
    (group,) = groups(
        version("claims/date=1/a"),
        version(
            "claims/date=1/a", is_latest=False, checksummed=False, own_key=False, sse_c=True, at=ago(days=400)
        ),
        version("claims/date=1/b", is_delete_marker=True, at=ago(days=900)),
    ).values()
    assert (group["objects"], group["versions"], group["unchecked"], group["other_key"], group["sse_c"]) == (
        1,
        2,
        0,
        0,
        0,
    )
    assert (group["oldest_key"], group["oldest_age_s"]) == ("claims/date=1/a", 400 * 86400)


def test_one_object_of_which_nothing_is_known_leaves_the_group_open() -> None:
    lost = version("claims/date=1/b", checksummed=None, own_key=None, sse_c=None)
    (group,) = groups(version("claims/date=1/a"), lost).values()
    assert [group[name] for name in ("unchecked", "other_key", "sse_c")] == [0, 0, 0]
    assert [group[name] for name in ("checksums_known", "keys_known", "sse_c_known")] == [None, None, None]
    assert "of 1 of 2 objects" in group["keys_says"]


def test_what_is_wrong_is_counted_and_five_stand_for_it() -> None:
    bad = [version(f"claims/date=1/{n:02d}", checksummed=False, at=ago(seconds=n)) for n in range(12)]
    (group,) = groups(*bad, version("claims/date=1/z")).values()
    assert (group["unchecked"], group["objects"], len(group["unchecked_keys"])) == (12, 13, 5)


def test_what_a_backup_skips_stands_for_itself_and_what_it_takes_does_not() -> None:
    (group,) = groups(
        version("claims/date=1/a", storage_class="GLACIER_IR"),
        version("claims/date=1/b", storage_class="DEEP_ARCHIVE", at=ago(seconds=1)),
        version("claims/date=1/c", sse_c=True, at=ago(seconds=2)),
    ).values()
    assert group["skipped_keys"] == ["claims/date=1/b", "claims/date=1/c"]


def test_classes_are_told_with_their_counts() -> None:
    (group,) = groups(
        version("claims/date=1/a"), version("claims/date=1/b", storage_class="GLACIER")
    ).values()
    assert (group["classes"], group["classes_say"]) == (["GLACIER", "STANDARD"], "GLACIER 1, STANDARD 1")
    assert group["skipped_keys"] == ["claims/date=1/b"]


@pytest.mark.parametrize(("possible", "held"), [(False, False), (True, None), (None, None)])
def test_nothing_is_on_hold_only_where_nothing_can_be(possible: bool | None, held: bool | None) -> None:
    (group,) = groups(version("claims/date=1/a"), object_home=[home(holds_possible=possible)]).values()
    assert group["on_hold"] is held
    assert bool(group["on_hold_says"]) == (held is None)


def test_a_bucket_key_that_is_an_alias_nobody_resolved_says_so() -> None:
    (group,) = groups(version("claims/date=1/a", own_key=None), object_home=[home(kms_key=None)]).values()
    assert "alias" in group["keys_says"]


# ------------------------------------------------------------------------------------------ keys
def only_key(**tables: Any) -> dict[str, Any]:
    (found,) = facts(estate(**tables), "kms_key").values()
    return found


@pytest.mark.parametrize(
    ("state", "usable"),
    [("Enabled", True), ("Updating", True), ("Creating", None), ("Disabled", False), ("PendingDeletion", False),
     ("PendingReplicaDeletion", False), ("PendingImport", False), ("Unavailable", False), ("gone", False), (None, None)],
)  # fmt: skip
def test_a_key_can_be_used_in_few_states(state: str | None, usable: bool | None) -> None:
    assert only_key(kms_key=[key(state=state)])["usable"] is usable


@pytest.mark.parametrize(
    ("more", "can", "does"),
    [
        ({}, True, True),
        ({"rotation": False}, True, False),
        ({"rotation": None}, True, None),
        ({"spec": "RSA_4096", "rotation": None}, False, False),
        ({"origin": "EXTERNAL", "rotation": None}, False, False),
        ({"manager": "AWS", "rotation": None}, True, True),
        ({"spec": None, "origin": None, "rotation": None}, None, None),
    ],
)
def test_only_what_kms_made_itself_can_rotate(
    more: dict[str, Any], can: bool | None, does: bool | None
) -> None:
    found = only_key(kms_key=[key(**more)])
    assert (found["can_rotate"], found["rotates"]) == (can, does)


def test_a_key_that_is_to_be_deleted_says_when() -> None:
    found = only_key(kms_key=[key(state="PendingDeletion", deletion_at=ago(days=-7))])
    assert found["state_says"] == "PendingDeletion, to be deleted 2026-03-09T06:00Z"


_ANYONE: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("condition", "public"),
    [
        (None, True),
        ({"StringEquals": {"kms:CallerAccount": HOME}}, False),
        ({"StringEquals": {"kms:CallerAccount": HOME, "kms:ViaService": f"s3.{EU}.amazonaws.com"}}, False),
        ({"StringEquals": {"kms:ViaService": f"s3.{EU}.amazonaws.com"}}, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-acme"}}, False),
    ],
)
def test_a_key_policy_for_anyone_is_closed_by_the_callers_account_and_by_no_service(
    condition: dict[str, Any] | None, public: bool
) -> None:
    statement = _ANYONE | ({"Condition": condition} if condition else {})
    assert only_key(kms_key=[key(policy=document(statement))])["policy_public"] is public


def test_a_key_of_aws_is_not_public_though_its_policy_was_not_asked() -> None:
    assert only_key(kms_key=[key(manager="AWS", policy=None)])["policy_public"] is False


def test_a_policy_that_was_not_read_or_cannot_be_says_so() -> None:
    for policy in (None, "not JSON"):
        found = only_key(kms_key=[key(policy=policy)])
        assert found["policy_public"] is None
        assert found["policy_unknown"]


def test_a_key_says_what_hangs_on_it_under_any_of_its_names() -> None:
    named = key(named_as=["alias/exports", K1])
    found = only_key(
        kms_key=[named], s3_bucket=[bucket(kms_key_arn="alias/exports")], backup_vault=[vault(kms_key_arn=K1)]
    )
    assert (found["encrypts"], found["named_by"], found["zone"]) == ([VAULT, BUCKET], 2, "phi")


# ------------------------------------------------------------------------------------------ buckets and vaults by their keys
@pytest.mark.parametrize(
    ("named", "keys", "customers"),
    [
        (K1, [key()], True),
        (K1, [key(manager="AWS")], False),
        (K1, [key(manager=None, state=None)], None),
        (K1, [], None),
        ("alias/aws/s3", [], False),
        (f"arn:aws:kms:{EU}:{HOME}:alias/aws/s3", [], False),
        ("alias/exports", [key(named_as=[K1, "alias/exports"])], True),
        ("alias/exports", [key(named_as=[K1, "alias/exports"], region=US)], None),
        ("none", [], False),
        (None, [], None),
    ],
)
def test_kms_alone_says_whose_a_key_is(
    named: str | None, keys: list[dict[str, Any]], customers: bool | None
) -> None:
    found = facts(estate(s3_bucket=[bucket(kms_key_arn=named)], kms_key=keys), "bucket")[BUCKET]
    assert found["customer_key"] is customers
    assert bool(found["key_says"]) == (customers is None)


@pytest.mark.parametrize(
    ("keys", "customers"), [([key(K2)], True), ([key(K2, manager="AWS")], False), ([], None)]
)
def test_a_vaults_key_of_aws_is_no_customers_though_its_arn_looks_like_one(
    keys: list[dict[str, Any]], customers: bool | None
) -> None:
    assert facts(estate(kms_key=keys), "vault")[VAULT]["customer_key"] is customers


# ------------------------------------------------------------------------------------------ replication
def rule(**more: Any) -> dict[str, Any]:
    """Return a replication rule as S3 gives it, for everything."""
    return {
        "ID": "all", "Status": "Enabled", "Filter": {}, "Destination": {"Bucket": "arn:aws:s3:::copies"},
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
    } | more  # fmt: skip


def replicating(*rules: dict[str, Any], exports: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    copies = bucket("arn:aws:s3:::copies", region="eu-central-1")
    tables: dict[str, Any] = {
        "s3_bucket": [bucket(replication=list(rules), **more), copies],
        "config_export": [{"name": each, "bucket": NAME, "prefix": each} for each in exports],
    }
    return facts(estate(**tables), "bucket")[BUCKET]


@pytest.mark.parametrize(
    ("rules", "exports", "replicates", "says"),
    [
        ([], (), False, "no replication rule"),
        ([rule(Status="Disabled")], (), False, "no replication rule"),
        ([rule(SourceSelectionCriteria={})], (), False, "encrypted by KMS"),
        ([rule(Filter={"Prefix": "logs/"})], ("claims/",), False, "claims/"),
        ([rule(Filter={"Prefix": "claims/"})], (), False, "the whole bucket"),
        ([rule(Filter={"Tag": {"Key": "k", "Value": "v"}})], (), False, "the whole bucket"),
        (
            [rule(Filter={"And": {"Prefix": "", "Tags": [{"Key": "k", "Value": "v"}]}})],
            (),
            False,
            "the whole bucket",
        ),
        ([rule(Filter={"Prefix": "claims/"})], ("claims/a/",), True, ""),
        ([rule(Filter={"Prefix": "claims/"}), rule(Prefix="visits/")], ("claims/", "visits/"), True, ""),
        ([rule()], ("claims/",), True, ""),
    ],
)
def test_replication_takes_in_what_exports_write_or_it_is_none(
    rules: list[dict[str, Any]], exports: tuple[str, ...], replicates: bool, says: str
) -> None:
    found = replicating(*rules, exports=exports)
    assert found["replicates"] is replicates
    assert says in found["replicates_says"]


def test_where_jobs_are_hidden_rules_of_prefixes_may_leave_an_export_out() -> None:
    def of(prefix: str, written: str) -> Any:
        tables: dict[str, Any] = {
            "s3_bucket": [bucket(replication=[rule(Filter={"Prefix": prefix})])],
            "config_export": [{"name": written, "bucket": NAME, "prefix": written}],
            "coverage": [],
        }
        return facts(estate(**tables), "bucket")[BUCKET]

    assert of("claims/", "claims/a/")["replicates"] is None
    assert "exports write was not seen" in of("claims/", "claims/a/")["replicates_says"]
    assert of("", "claims/a/")["replicates"] is True
    assert of("logs/", "claims/a/")["replicates"] is False, "one that is known is left out"


def test_an_unread_setting_leaves_replication_open() -> None:
    assert replicating(rule(SourceSelectionCriteria={}), encryption=None)["replicates"] is None
    found = facts(estate(s3_bucket=[bucket(replication=None)]), "bucket")[BUCKET]
    assert (found["replicates"], found["replication_fails"]) == (None, None)


def test_where_a_copy_goes_is_known_of_buckets_in_scope_alone() -> None:
    assert replicating(rule())["replicates_elsewhere"] is True
    away = rule(Destination={"Bucket": "arn:aws:s3:::elsewhere"})
    assert replicating(away)["replicates_elsewhere"] is None
    assert replicating(away, rule())["replicates_elsewhere"] is True


@pytest.mark.parametrize(
    ("status", "age", "fails"),
    [
        ("COMPLETED", timedelta(hours=2), False),
        ("FAILED", timedelta(hours=2), True),
        ("PENDING", timedelta(hours=2), None),
        ("PENDING", timedelta(days=2), True),
        ("REPLICA", timedelta(days=2), None),
        ("none", timedelta(days=2), None),  # written before the rule was: it will never be replicated
    ],
)
def test_replication_fails_by_the_newest_object_that_had_time_for_it(
    status: str, age: timedelta, fails: bool | None
) -> None:
    row = {"bucket": NAME, "account": HOME, "region": EU, "key": "a", "version_id": "1", "status": status,
           "last_modified": ago(seconds=age.total_seconds())}  # fmt: skip
    found = facts(estate(s3_bucket=[bucket(replication=[rule()])], s3_replica=[row]), "bucket")[BUCKET]
    assert found["replication_fails"] is fails
    assert status in found["replication_says"]


# ------------------------------------------------------------------------------------------ the bucket of a trail
def trail(**more: Any) -> dict[str, Any]:
    return {
        "arn": f"arn:aws:cloudtrail:{EU}:{HOME}:trail/t", "name": "t", "account": HOME, "region": EU, "bucket": NAME,
        "logging": True, "multi_region": True, "global_events": True, "validated": True, "management_events": "All",
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("more", "closed", "encrypted", "logged"),
    [
        ({}, True, True, False),
        ({"logging_target": "logs"}, True, True, True),
        ({"block_public_policy": False}, False, True, False),
        ({"ownership": "ObjectWriter"}, False, True, False),
        ({"policy": document(_ANYONE | {"Action": "s3:GetObject"})}, False, True, False),
        ({"policy": None}, None, True, False),
        ({"encryption": "none"}, True, False, False),
        ({"encryption": None, "logging_target": None}, True, None, None),
    ],
)
def test_the_bucket_of_a_trail_is_closed_encrypted_and_logged(
    more: dict[str, Any], closed: bool | None, encrypted: bool | None, logged: bool | None
) -> None:
    flags = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")
    account = {"account": HOME} | dict.fromkeys(flags, False)
    tables = estate(s3_bucket=[bucket(**more)], cloudtrail_trail=[trail()], aws_account=[account])
    (found,) = facts(tables, "trail").values()
    assert (found["bucket_closed"], found["bucket_encrypted"], found["bucket_logged"]) == (
        closed,
        encrypted,
        logged,
    )


def test_a_trail_that_delivers_out_of_scope_says_so() -> None:
    (found,) = facts(estate(cloudtrail_trail=[trail(bucket="elsewhere")]), "trail").values()
    assert found["bucket_closed"] is None
    assert "elsewhere" in found["bucket_says"]
