"""Who may do what in Google Cloud, and where its logs are kept: policies, roles, service accounts, log buckets."""

from __future__ import annotations

from auditor.schema import Table, boolean, integer, json, text, time
from auditor.schema.subjects import facts, seen

_PROJECT = text("project", "project id; `folders/N` or `organizations/N` for what projects inherit")

TABLES = (
    Table(
        "gcp_project",
        "A project in scope.",
        ("name",),
        (
            text("name", "projects/ID"),
            text("project", "project id"),
            text("number", "project number"),
            text("state", "ACTIVE, DELETE_REQUESTED", watch="ACTIVE>DELETE_REQUESTED"),
            json(
                "ancestors",
                "its folders and its organisation, the nearest first; NULL when not all were read",
                watch="change",
            ),
        ),
    ),
    Table(
        "gcp_iam_binding",
        "One member of one binding of an IAM policy: of a project, what it inherits, a cluster or a service account.",
        ("resource", "role", "member", "condition"),
        (
            text(
                "resource", "projects/ID, folders/N, organizations/N, or the full name of cluster or account"
            ),
            text("kind", "project, folder, organization, cluster or service_account"),
            _PROJECT,
            text("region", "*: bindings have none of their own"),
            text("role", "roles/NAME, projects/ID/roles/NAME or organizations/N/roles/NAME", watch="change"),
            text(
                "member",
                "as the policy writes it: user:, group:, serviceAccount:, principal:// ...",
                watch="change",
            ),
            text("condition", "the condition's expression; empty when there is none", watch="change"),
            text("condition_title", "its title; empty when there is none"),
        ),
    ),
    Table(
        "gcp_audit_config",
        "One log type that a policy switches on for a service.",
        ("resource", "service", "log_type"),
        (
            text("resource", "projects/ID, folders/N or organizations/N"),
            _PROJECT,
            text("service", "such as iam.googleapis.com, or allServices"),
            text("log_type", "ADMIN_READ, DATA_READ or DATA_WRITE"),
            json("exempted", "members whose calls are not logged", watch="change"),
        ),
    ),
    Table(
        "gcp_role",
        "A role that some binding names.",
        ("name",),
        (
            text("name", "full name"),
            text("project", "project id of a project's own role; * for all others"),
            json(
                "permissions",
                "those that rules judge or drift watches, of all that it grants",
                watch="change",
            ),
            text("origin", "`api` when asked for, `table of DATE` for predefined roles that we know"),
            boolean("deleted", "it is deleted: its bindings grant nothing", watch="up"),
            integer("judged", "generation of the list of permissions that are looked for", watch="change"),
        ),
    ),
    Table(
        "gcp_service_account",
        "A service account of a project in scope.",
        ("email",),
        (
            text("email", "e-mail"),
            text("project", "project id"),
            text("unique_id", "numeric id, the subject of its tokens; never given again", watch="change"),
            text("display_name", "display name; empty when there is none"),
            text("description", "description; empty when there is none"),
            boolean("disabled", "it gets no tokens", watch="up"),
        ),
    ),
    Table(
        "gcp_service_account_key",
        "A key of a service account that exports or triggers.",
        ("name",),
        (
            text("name", "full name"),
            text("email", "whose"),
            text("project", "project id"),
            text("key_type", "USER_MANAGED or SYSTEM_MANAGED", watch="change"),
            text("key_origin", "GOOGLE_PROVIDED or USER_PROVIDED"),
            time("created_at", "validAfterTime"),
            time("expires_at", "validBeforeTime"),
            boolean("disabled", "it is disabled; whoever may, can enable it again", watch="up"),
        ),
    ),
    Table(
        "gcp_log_bucket",
        "A bucket of Cloud Logging.",
        ("name",),
        (
            text("name", "projects/ID/locations/LOCATION/buckets/NAME"),
            text("project", "project id"),
            text("location", "location"),
            integer("retention_d", "days entries are kept", watch="change"),
            boolean("locked", "retention cannot be lowered, nor the bucket deleted", watch="up"),
            text("state", "ACTIVE, DELETE_REQUESTED ...", watch="ACTIVE>DELETE_REQUESTED"),
        ),
    ),
    Table(
        "gcp_log_sink",
        "A sink of a project: what it routes, and to where.",
        ("name",),
        (
            text("name", "projects/ID/sinks/NAME"),
            text("project", "project id"),
            text(
                "destination",
                "such as logging.googleapis.com/projects/ID/locations/L/buckets/NAME",
                watch="change",
            ),
            text("filter", "what it takes; empty: everything", watch="change"),
            boolean("disabled", "it routes nothing", watch="down"),
            integer("own_exclusions", "exclusions of its own that are not disabled", watch="down"),
            json("exclusions", "the filters of these", watch="change"),
        ),
    ),
)

_AUDITED = seen(("gcp_audit_config", "account"), may="raise")
_DIRECTORY = (("directory_user", "all"), ("directory_membership", "all"))
_RUNNING = (("dataproc_job", "all"), ("dataproc_cluster", "all"), ("gcp_project", "all"))
"""What runs as whom; Compute Engine's default account is named by the number of its project."""

FACTS = (
    facts(
        "iam_binding_facts",
        "iam_binding",
        "One member of one binding. Bindings on Cloud Storage buckets are not read.",
        "RESOURCE/ROLE/MEMBER, and /if:DIGEST of a condition",
        (("gcp_iam_binding", "all"),),
        text("resource", "what the policy is of"),
        text("kind", "project, folder, organization, cluster or service_account"),
        text("role", "role"),
        text("member", "as the policy writes it"),
        text(
            "member_kind",
            "user, group, service_account, google_agent, workload, set, public, deleted or unknown",
        ),
        boolean("individual", "one person, whatever group they are in"),
        text("condition", "the condition's expression; empty when there is none"),
        json(
            "grants",
            "permissions of the role that rules judge; NULL when the role is not known",
            why="grants_says",
        ),
        text("grants_says", "why they are not known, or that a condition decides; empty when neither"),
        boolean("lets_submit", "lets submit work, create clusters or run workflows", why="grants_says"),
        boolean("lets_act", "lets act as a service account or make its tokens and keys", why="grants_says"),
        boolean("lets_write", "lets write objects of Cloud Storage", why="grants_says"),
        boolean("lets_read", "lets read logs, objects of Cloud Storage or metrics", why="grants_says"),
        boolean(
            "duty_covers",
            "a group with a duty in all projects it reaches, somebody in one, or an automation registered for them",
            why="duty_says",
            **seen(*_DIRECTORY, may="raise"),
        ),
        text("duty_says", "which duty, or why that is not known"),
        json("people", "people in the group now; NULL when the directory has no such group"),
        boolean("exports_here", "a service account of this very project that the configuration lets export"),
    ),
    facts(
        "service_account_facts",
        "service_account",
        "A service account: listed, or used by a job, a cluster or the configuration.",
        "e-mail",
        (("gcp_service_account", "all"),),
        text("unique_id", "numeric id"),
        boolean(
            "found", "it was listed; NULL when its project was not, or is out of scope", why="found_says"
        ),
        text("found_says", "why that is not known; empty when it is"),
        boolean("disabled", "it gets no tokens"),
        boolean(
            "in_chain",
            "a job or a cluster runs as it, or the configuration lets it export or trigger",
            **seen(*_RUNNING, may="raise"),
        ),
        json("used_by", "what makes it part of the chain", **seen(*_RUNNING, may="raise")),
        boolean("default_account", "Google made it as the default of Compute Engine or App Engine"),
        boolean(
            "owned",
            "the directory or a registered automation names its owner",
            **seen(("directory_user", "all"), may="raise"),
        ),
        json("described", "`name=value` and `name: value` of its description; NULL when it was not read"),
        integer(
            "user_keys",
            "user-managed keys that have not expired; disabled ones count",
            **seen(("gcp_service_account_key", "resource"), may="raise"),
        ),
        integer(
            "user_keys_disabled",
            "of these, disabled",
            **seen(("gcp_service_account_key", "resource"), may="raise"),
        ),
        time("oldest_key_at", "when the oldest of these was made"),
    ),
    facts(
        "project_facts",
        "project",
        "A project in scope.",
        "projects/ID",
        (("gcp_project", "all"),),
        text("number", "project number"),
        json(
            "iam_logged", "map of each log type that is on for IAM to where, inherited ones too", **_AUDITED
        ),
        text("logged_says", "the same in words"),
        json("iam_exempted", "members whose calls of IAM are not logged, inherited ones too", **_AUDITED),
    ),
    facts(
        "log_bucket_facts",
        "log_bucket",
        "A bucket of Cloud Logging.",
        "projects/ID/locations/LOCATION/buckets/NAME",
        (("gcp_log_bucket", "all"),),
        text("state", "ACTIVE, DELETE_REQUESTED ..."),
        integer("retention_d", "days entries are kept"),
        boolean("locked", "that cannot be lowered"),
        integer(
            "archive_d",
            "days that another bucket keeps all logs of the project; -1 when no sink takes all; NULL when one leads to "
            "a place that is not read",
            why="archive_says",
            **seen(("gcp_log_sink", "account"), ("gcp_log_bucket", "all"), may="raise"),
        ),
        text(
            "archive_says",
            "the sinks that take everything, with their destinations; empty when there is none",
        ),
    ),
    facts(
        "cluster_facts",
        "cluster",
        "A cluster that is there, or was since the scan before.",
        "full name@uuid",
        (("dataproc_cluster", "all"), ("gcp_audit_entry", "all")),
        text("cluster_name", "name"),
        text("origin", "`api` when listed, `audit` when rebuilt from audit entries"),
        boolean("gone", "it was deleted"),
        text("service_account", "as whom its machines run; Compute Engine's default where it names none"),
        text("kms_key", "key of its disks, or none"),
        boolean("internal_ip_only", "its machines have no public addresses; NULL when nobody says"),
        integer(
            "age_s",
            "seconds from its creation to its end, or to now",
            **seen(("dataproc_cluster", "region"), may="lower"),
        ),
        integer(
            "idle_delete_s",
            "idle-delete limit; -1 when there is none",
            **seen(("dataproc_cluster", "region"), may="either"),
        ),
        json(
            "account_zones",
            "zones of all clusters of its service account; NULL when one of them has none",
            why="account_zones_says",
            **seen(("dataproc_cluster", "all"), may="raise"),
        ),
        text("account_zones_says", "which clusters those are"),
    ),
)
