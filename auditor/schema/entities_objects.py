"""The subjects of rules that objects and their keys are: objects by run or folder, and KMS keys."""

from __future__ import annotations

from auditor.schema import boolean, integer, json, text, time
from auditor.schema.subjects import POINTS, facts, seen, step

_NAMED = seen(("s3_bucket", "all"), ("backup_vault", "all"), may="raise")
_LISTED = seen(("s3_object_version", "resource"), may="raise")

TABLES = (
    step(
        "object_home",
        "What the objects of each bucket are held against.",
        ("bucket",),
        text("bucket", "bucket"),
        text("encryption", "its default encryption"),
        text("kms_key", "ARN of its key; NULL where it has none, or only an alias of it is known"),
        boolean("other_writers", "the configuration declares a writer beside the jobs"),
        boolean("holds_possible", "object lock is enabled, so that an object can be on hold"),
    ),
    step(
        "declared_prefix",
        "A prefix that the configuration lets an export write to.",
        ("bucket", "fixed", "pattern"),
        text("bucket", "bucket"),
        text("fixed", "what comes before a run's own part"),
        text("folder", "that, up to its last slash"),
        integer("flen", "length of it"),
        integer("folders", "slashes in the whole prefix"),
        text("pattern", "the whole prefix as a pattern of LIKE; NULL when nothing in it is a run's own"),
    ),
    facts(
        "object_group_facts",
        "object_group",
        "The objects of one run of a declared export, or in one folder beside the declared exports.",
        "bucket/prefix",
        (("s3_object_version", "all"),),
        text("bucket", "bucket"),
        text("listed_in", "ARN of the bucket, whose listing tells of them"),
        text("prefix", "the run's prefix, or the folder"),
        integer("objects", "objects: current versions", **_LISTED),
        integer("versions", "versions, noncurrent ones too", **_LISTED),
        integer("unchecked", "objects without an additional checksum", **_LISTED),
        boolean("checksums_known", "TRUE when it is known of each; else NULL"),
        json("unchecked_keys", "some of them"),
        integer(
            "other_key", "objects encrypted otherwise than by the default of their bucket now", **_LISTED
        ),
        boolean(
            "keys_known", "TRUE when the event of the write tells it of each; else NULL", why="keys_says"
        ),
        text("keys_says", "why not; empty when it does"),
        json("other_keys", "keys of some that are encrypted otherwise"),
        text("bucket_encryption", "the bucket's default encryption"),
        text("bucket_key", "the bucket's key"),
        json("classes", "their storage classes", **_LISTED),
        text("classes_say", "how many are in each"),
        integer("sse_c", "objects encrypted by a key that the writer sent along", **_LISTED),
        boolean(
            "sse_c_known", "TRUE when the event of the write tells it of each; else NULL", why="sse_c_says"
        ),
        text("sse_c_says", "why not; empty when it does"),
        json("skipped_keys", "some with such a key, or in a class that is read back before it is read"),
        integer(
            "outside",
            "objects under no declared export's prefix that no declared writer wrote",
            why="outside_says",
            **_LISTED,
        ),
        boolean("outside_known", "TRUE when none may be missing there; else NULL", why="outside_says"),
        text("outside_says", "why not; empty when none is"),
        json("outside_keys", "some of them"),
        time("oldest_at", "when the oldest version was written"),
        text("oldest_key", "its key"),
        integer("oldest_age_s", "seconds since then", **_LISTED),
        boolean(
            "on_hold",
            "FALSE: its bucket has no object lock, so nothing is on hold; else NULL",
            why="on_hold_says",
        ),
        text("on_hold_says", "why not; empty when nothing can be"),
    ),
    facts(
        "kms_key_facts",
        "kms_key",
        "A KMS key that a bucket, a vault or a recovery point is encrypted with.",
        "ARN",
        (("kms_key", "all"), ("s3_bucket", "all"), ("backup_vault", "all"), (POINTS, "all")),
        json("names", "names under which resources name it"),
        text("manager", "CUSTOMER or AWS"),
        text("state", "Enabled, Disabled, PendingDeletion ..., or gone when KMS knows it no more"),
        boolean("usable", "it can be used; NULL when its state says neither"),
        text("state_says", "its state, and when it will be deleted where it will"),
        boolean("can_rotate", "KMS can rotate it by itself: symmetric, and of KMS's own making"),
        boolean("rotates", "it is rotated by itself, or it is AWS's own"),
        boolean("policy_public", "its policy lets anyone in; NULL when undecided", why="policy_unknown"),
        text("policy_says", "who for example; empty when nobody"),
        text("policy_unknown", "why its policy cannot be judged in full; empty when it can"),
        json("encrypts", "some of the buckets and vaults that name it", **_NAMED),
        integer("named_by", "buckets and vaults that name it", **_NAMED),
    ),
)
