"""Tables between the steps of correlation that Python steps write: what the chain is judged from."""

from __future__ import annotations

from auditor.schema import Column, Table, boolean, integer, json, text, time


def _step(name: str, meaning: str, key: tuple[str, ...], *columns: Column) -> Table:
    return Table(name, meaning, key, columns, kind="fact")


TABLES = (
    _step(
        "chain_job",
        "A job as the chain needs it.",
        ("job_uuid",),
        text("job_uuid", "job"),
        text("kind", "job, batch or session"),
        text("job_id", "id"),
        text("project", "project"),
        text("region", "region"),
        text("state", "the vendor's state, or DELETED when only audit entries tell of it"),
        text("state_detail", "the vendor's words"),
        time("submitted_at", "submitted"),
        time("started_at", "started, else submitted"),
        time("finished_at", "end; NULL while it runs"),
        text("cluster_name", "cluster"),
        text("cluster_uuid", "cluster"),
        text("creator", "creator of a batch or session"),
        json("arguments", "arguments"),
        json("properties", "properties"),
        text("ending", "well, failed, deleted, running or unknown"),
        text("service_account", "as whom it ran; NULL when it cannot be established"),
        text("service_account_because", "why"),
        text("subject", "numeric unique id of that account; NULL when the configuration lacks it"),
        text("zone_label", "zone label"),
        text("export_label", "label that names a configured export"),
        text("owner_label", "owner label"),
        boolean("labels_known", "labels were collected"),
    ),
    _step(
        "output",
        "A prefix a job declares or mentions.",
        ("job_uuid", "bucket", "prefix"),
        text("job_uuid", "job"),
        text("bucket", "bucket"),
        text("prefix", "prefix"),
        text("found_by", "label, arguments or config"),
        boolean("declared", "declared as an output"),
        text("export_name", "configured export"),
        text("export_key", "what runs of the same export share"),
    ),
    _step(
        "export_output",
        "An export: a job and one prefix, with the window its writes are looked for in.",
        ("export_id",),
        text("export_id", "export"),
        text("job_uuid", "job"),
        text("bucket", "bucket"),
        text("prefix", "prefix"),
        integer("plen", "length of the prefix"),
        text("found_by", "label, arguments, config or session"),
        boolean("declared", "declared as an output"),
        text("export_name", "configured export"),
        text("export_key", "what runs of the same export share"),
        time("from_at", "job start less the skew"),
        time("until_at", "job end, or now, and ten minutes"),
    ),
    _step(
        "credential",
        "Who a credential that wrote to a bucket is.",
        ("access_key_id", "principal_arn", "bucket"),
        text("access_key_id", "credentials; empty for a service"),
        text("principal_arn", "principal"),
        text("bucket", "bucket"),
        text("principal_type", "type CloudTrail gives"),
        text("kind", "job, ambiguous, no_issue, declared or foreign"),
        text("job_uuid", "job of a session"),
        text("session_key", "session, where its issue was seen"),
        text("because", "why"),
    ),
    _step(
        "manifest_file",
        "A file a marker lists.",
        ("bucket", "marker", "version_id", "file"),
        text("bucket", "bucket"),
        text("marker", "key of the marker"),
        text("version_id", "version of the marker"),
        text("file", "key it lists"),
    ),
)
