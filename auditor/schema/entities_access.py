"""The subjects of rules that decide who gets in: roles, sessions, keys and identity providers."""

from __future__ import annotations

from auditor.schema import Column, boolean, integer, json, text, time
from auditor.schema.subjects import facts, seen, step

_MATCHED = seen(
    ("dataproc_job", "all"),
    ("dataproc_cluster", "all"),
    ("gcp_audit_entry", "all"),
    ("s3_data_event", "all"),
    may="raise",
)
"""Where its credentials wrote is what ties a session to a job whose name it does not hold."""
_DOCUMENTS = seen(("iam_policy", "account"), may="either")


def _powers(name: str, meaning: str, *more: tuple[str, str]) -> tuple[Column, ...]:
    """Describe a list of powers: what is proven, whether that is all, and what to say of it."""
    reads = seen(("iam_policy", "account"), *more, may="either")
    return (
        json(name, f"{meaning}; NULL when not known", why=f"{name}_open", **reads),
        boolean(
            f"{name}_decided", "TRUE when all of it could be decided; else NULL", why=f"{name}_open", **reads
        ),
        text(f"{name}_says", "the first of them, by requests, in words"),
        text(f"{name}_open", "what hangs on a condition, is undecided or was not read; empty when nothing"),
    )


TABLES = (
    facts(
        "session_facts",
        "session",
        "An issue of credentials on a declared export role that succeeded.",
        "accessKeyId, else the event id",
        (("sts_session", "all"),),
        text("role_arn", "role"),
        text("session_name", "session name"),
        text("event_name", "AssumeRoleWithWebIdentity, AssumeRole ..."),
        text("caller", "who asked; empty when the event does not say"),
        text("source_ip", "source address"),
        text("user_agent", "what the caller says it is"),
        boolean(
            "from_declared_place",
            "its source is in a network, or is a service of AWS, that CHN-012 declares for its zone",
            why="place_says",
        ),
        text("place_says", "why that is not known; empty when it is"),
        time("issued_at", "issue"),
        integer("age_s", "seconds since the issue"),
        integer("duration_s", "seconds it was asked for"),
        text(
            "matched_job",
            "job it belongs to; NULL when none fits",
            **_MATCHED,
        ),
        text(
            "claimed_job",
            "the same, or the job that it passes itself off as with another subject: by its name, or by where it wrote",
            **_MATCHED,
        ),
        text("match_strength", "exact, strong, inferred or none"),
        integer("match_candidates", "jobs that fit equally well"),
        boolean("orphan", "TRUE no job explains it, FALSE one does, NULL the jobs could not be seen"),
        text("orphan_because", "why"),
        integer(
            "used_after_job_s",
            "seconds from the job's end to the last write with it; 0 when there was none after; NULL without a job, "
            "or when data events of its time were not all seen",
        ),
        text("web_subject", "subject of the web identity"),
        text(
            "expected_subject",
            "unique id of the claimed job's service account; NULL when it is not configured",
        ),
        text("job_service_account", "service account of the claimed job"),
        boolean("subject_matches", "the two are the same; NULL when one of them is not known"),
    ),
    facts(
        "role_facts",
        "role",
        "An IAM role; a declared export role that was not found is here too.",
        "ARN",
        (("iam_role", "all"),),
        text("name", "name"),
        boolean("export_role", "the configuration declares it as one that exports"),
        boolean("found", "it was listed"),
        integer("max_session_s", "longest session it gives"),
        time("last_used_at", "last use; NULL when never or unknown"),
        json(
            "trusts",
            "principals that its trust policy admits, each proven by a request; NULL when unreadable",
            why="trust_unknown",
        ),
        boolean("trusts_tokens", "it trusts an identity provider", why="trust_unknown"),
        boolean("trusts_services", "it trusts an AWS service", why="trust_unknown"),
        boolean("service_linked", "a service-linked role: AWS writes its trust, and nobody can change it"),
        boolean("trust_decided", "TRUE when all could be decided; else NULL", why="trust_unknown"),
        text("trust_unknown", "what of its trust policy could not be read or decided; empty when nothing"),
        json(
            "trust_findings",
            "names of what its trust policy should be known for (docs/trust.md)",
            why="trust_unknown",
        ),
        text("trust_worst", "severity of the worst of them; none when there is none"),
        text("trust_says", "what they say, with who for example"),
        json("trust_witness", "the request that proves the worst"),
        json("trusted_subjects", "Google subjects that it names in full", why="trust_unknown"),
        json(
            "unknown_subjects",
            "those that are disabled or deleted, or neither configured, listed by Google nor active in the directory",
            **seen(("directory_user", "all"), ("gcp_service_account", "all"), may="either"),
        ),
        boolean(
            "audience_pinned",
            "of an export role: it accepts tokens for the declared audiences alone",
            why="audience_because",
        ),
        text("audience_because", "why"),
        boolean(
            "admits_exactly",
            "of an export role: it admits its service account and nobody else",
            why="admits_because",
        ),
        text("admits_because", "why"),
        json("admits_witness", "the request that proves that it does not"),
        boolean(
            "backup_role",
            "a selection of a backup plan uses it",
            **seen(("backup_selection", "all"), may="raise"),
        ),
        boolean("trust_known_before", "the scan before knew its trust policy"),
        text("trust_compared_with", "what its trust is compared with: the scan before, or an approved state"),
        text("trust_change", "equivalent, narrower, wider, incomparable or undecided against that"),
        boolean(
            "trust_no_wider",
            "it admits no more than then; FALSE also when that is undecided",
            why="trust_change_says",
        ),
        text("trust_change_says", "who may now, or may no longer, in words"),
        boolean(
            "permissions_known",
            "TRUE when every permission policy and the boundary was read and can be read; else NULL",
            why="permissions_unknown",
            **_DOCUMENTS,
        ),
        text("permissions_unknown", "which was not, and why; empty when all were"),
        boolean(
            "boundary_holds",
            "a permissions boundary is attached and refuses something",
            why="boundary_says",
            **_DOCUMENTS,
        ),
        text("boundary_says", "which it is, and what it refuses, for example"),
        *_powers(
            "escalations",
            "actions by which it could get what it lacks: on any user, role, group or policy, on itself, on its own policies",
        ),
        *_powers(
            "prefix_actions",
            "of an export role: what it may do on its prefixes and their buckets, with keys, and in other services at all; "
            "`s3:*` stands for actions that no list has",
        ),
        *_powers(
            "beyond_prefix",
            "of an export role: what it may do with objects and buckets that it is not declared for",
        ),
        boolean("permissions_known_before", "the scan before knew the role and its policies"),
        text(
            "permissions_compared_with",
            "what its policies are compared with: the scan before, or an approved state",
        ),
        boolean(
            "permissions_no_wider",
            "its policies let nothing through that those of then refused; NULL when undecided or one was not read",
            why="permissions_change_says",
            **_DOCUMENTS,
        ),
        text("permissions_change", "the same, no wider, wider, undecided or not known"),
        text("permissions_change_says", "what it may do now, in words, or why it cannot be told"),
    ),
    facts(
        "principal_facts",
        "principal",
        "An IAM user.",
        "ARN",
        (("iam_user", "all"),),
        text("name", "name"),
        json("groups", "names of its groups"),
        integer("active_keys", "active access keys", **seen(("iam_access_key", "account"), may="raise")),
        *_powers(
            "may_write",
            "declared export prefixes (bucket/prefix) that it may write or delete objects on, by its own policies, its "
            "groups' or the bucket's",
            ("s3_bucket", "all"),
        ),
    ),
    facts(
        "scanner_facts",
        "scanner",
        "Whom the scan acts as in an account.",
        "ARN of the user or role",
        (("aws_account", "all"),),
        text("name", "name of the user or role"),
        text("caller", "as GetCallerIdentity gives it"),
        *_powers("changes", "actions it may take that change something, anywhere", ("iam_role", "account")),
    ),
    step(
        "watched_change",
        "A watched setting whose text differs from the scan before, or a row that came or went.",
        ("kind", "table_name", "key", "field"),
        text("kind", "changed, appeared or vanished"),
        text("table_name", "source table"),
        text("key", "its key, parts joined by /"),
        text("field", "column; of a row that came or went the first"),
        text("before", "value then, as text"),
        text("after", "value now, as text"),
        text("account", "account; * when it has none"),
        text("region", "region; * for all"),
    ),
    facts(
        "change_facts",
        "change",
        "A change of a watched setting since the scan before, as drift tells it.",
        "table/key#column, or #appeared, #vanished",
        (
            ("s3_bucket", "all"),
            ("iam_role", "all"),
            ("iam_policy", "all"),
            ("iam_provider", "all"),
            ("backup_plan", "all"),
            ("backup_plan_rule", "all"),
            ("backup_selection", "all"),
            ("backup_vault", "all"),
            ("cloudtrail_trail", "all"),
        ),
        text("kind", "changed, appeared or vanished"),
        text("changed_table", "source table, or config_duty"),
        text("changed_key", "key of what changed"),
        text("field", "column; empty when it came or went"),
        text("says", "what became of it, in words"),
        time("changed_at", "when, as the trail tells; NULL when it does not"),
        text("actor", "who, as the trail tells; NULL when it does not", why="actor_because"),
        text("actor_because", "which event tells so, or why none does"),
        boolean(
            "recorded",
            "an approved change of [[changes]] explains it; NULL when that hangs on who made it, which is not known",
            why="actor_because",
        ),
        text("change_id", "its id; NULL when there is none"),
        text("approved_by", "who approved it"),
    ),
    facts(
        "identity_map_facts",
        "identity_map",
        "A mapping of a group to what it may trigger, of [[duties]]; one that was taken out is here too.",
        "group/directory/project/region/job/zone/kind of start",
        (),
        text("group_name", "group"),
        boolean("compared", "the scan before remembered mappings"),
        text("change", "added or removed since then; empty when neither"),
        boolean("recorded", "an approved change of [[changes]] explains it"),
        text("change_id", "its id; NULL when there is none"),
        text("approved_by", "who approved it"),
        text("says", "what became of it, in words"),
    ),
    facts(
        "access_key_facts",
        "access_key",
        "A long-term access key of an IAM user.",
        "access key id",
        (("iam_access_key", "all"),),
        text("user_arn", "whose"),
        text("status", "Active or Inactive"),
        time("created_at", "creation"),
        time("last_used_at", "last use; NULL when never or not asked"),
        integer("age_s", "seconds since its creation"),
    ),
    facts(
        "provider_facts",
        "oidc_provider",
        "An OIDC provider in IAM.",
        "ARN",
        (("iam_provider", "all"),),
        text("url", "issuer"),
        boolean("declared", "the configuration declares it; NULL when it declares none at all"),
        json("undeclared_client_ids", "audiences that are not declared; NULL when the provider is not"),
        boolean("thumbprints_as_declared", "as pinned, else as in the scan before"),
    ),
)
