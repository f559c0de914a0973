"""Who may trigger what, and who still may though they left: denied attempts, access by duty, and the proof of offboarding."""

from __future__ import annotations

from auditor.schema import boolean, integer, json, text, time
from auditor.schema.subjects import facts, seen, step

_ATTEMPTS = (("gcp_audit_entry", "all"), ("sts_session", "all"))

TABLES = (
    facts(
        "audit_entry_facts",
        "audit_entry",
        "The denied attempts of one principal in one project or account on one day (UTC) to start work, or to act as somebody.",
        "DAY/PROJECT or ACCOUNT/PRINCIPAL",
        _ATTEMPTS,
        text("principal", "who was denied; empty when the entries do not say"),
        text("day", "the day, such as 2026-03-02"),
        json("methods", "sorted list of what was attempted"),
        integer("attempts", "how many", **seen(*_ATTEMPTS, may="raise")),
        time("first_at", "the first"),
        time("last_at", "the latest"),
        integer("age_s", "seconds since the first"),
        boolean(
            "reviewed",
            "somebody else than the principal signed a review after the latest of them",
            **seen(*_ATTEMPTS, may="lower"),
        ),
        text("reviewed_by", "who; empty when nobody"),
        text(
            "review_says",
            "the review's words, or why none counts",
        ),
    ),
    step(
        "access",
        "Who is in a group that a duty means: what an access review decides on, row by row.",
        ("person", "directory", "group_name"),
        text("person", "e-mail, else the directory's id"),
        text("directory", "csv, scim, okta or google"),
        text("group_name", "group"),
        text("duty", "what the duties let it start, in words"),
        time(
            "since_at",
            "member since this time or before, by the directory or by earlier scans; NULL: first seen now",
        ),
        text("status", "active, disabled or suspended; NULL when not known"),
        time("last_use_at", "latest call let through that is known; NULL when none"),
        text("decision", "keep or revoke, of the latest review; empty when none decided"),
        text("decided_by", "who decided; empty when nobody"),
        time("decided_at", "when"),
        text("period", "period of that review; empty when none"),
    ),
    step(
        "offboarding",
        "Everybody whose access has ended, and what of it was left.",
        ("person",),
        text("person", "e-mail, else the directory's id"),
        json("directories", "directories that say so"),
        time("ended_at", "when; NULL when no directory says"),
        time("ended_by", "at this time or before; NULL when nothing says that either"),
        time("last_use_at", "latest call let through that is known; NULL when none"),
        integer("uses_after_end", "calls let through after the end; NULL when not known"),
        integer("owned_after_end", "calls of automations they own, after the end; NULL when not known"),
        json("groups", "list of {group, duty}: groups they are still in; NULL when not all were read"),
        json("bindings", "list of {resource, role} that name them still; NULL when not all were read"),
        json("sessions", "jobs, batches and sessions of theirs that still run; NULL when not all were read"),
        json("keys", "access keys of theirs that are still active; NULL when not all were read"),
        json("owns", "automations that still name them as owner"),
        boolean("open", "something is left; NULL when nothing was seen to be left and not all was read"),
        integer(
            "outlived_s",
            "seconds by which access outlived the person: until now while something is left, else until the latest use; "
            "NULL when the end is not known or not all was read",
        ),
        json("not_seen", "sorted list of what could not be read"),
    ),
)
