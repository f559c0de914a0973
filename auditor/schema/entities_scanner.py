"""The subjects of rules that judge the product's own work: its rules, findings, bundles, reports, and the zones it serves."""

from __future__ import annotations

from auditor.schema import boolean, integer, json, text, time
from auditor.schema.subjects import facts, seen

_EXPORTS = seen(("dataproc_job", "all"), may="either")

TABLES = (
    facts(
        "rule_pack_facts",
        "rule_pack",
        "The rules that this scan is judged by: one row.",
        "`rules`",
        (),
        text("digest", "SHA-256 over every rule that loaded"),
        integer("rules", "rules that loaded"),
        integer("broken", "rules that did not load"),
        boolean("approved", "somebody approved these very rules, and nobody took it back"),
        text("approved_by", "who; empty when nobody did"),
        time("approved_at", "when; NULL when nobody did"),
        integer("approvals", "approvals of any rules there are in the ledger"),
        json(
            "loosened",
            "parameters and limits of zones that are looser than when these rules were approved, or otherwise changed",
        ),
    ),
    facts(
        "finding_facts",
        "finding",
        "A finding that was open at the scan before; those of SCN-010 itself are left out.",
        "finding id",
        (),
        text("rule", "rule id"),
        text("code", "its code"),
        text("about", "subject key"),
        text("verdict", "fail or unknown"),
        text("severity", "critical, high, medium or low"),
        time("opened_at", "since when it is open"),
        integer("open_s", "seconds from then to the scan before this one, at which it was still open"),
        boolean("waived", "a waiver in force covers it"),
    ),
    facts(
        "bundle_facts",
        "bundle",
        "An evidence bundle that was written.",
        "its id: sha256 of its tag manifest",
        (),
        text("file", "its name"),
        time("from_at", "begin of its period"),
        time("to_at", "end of it"),
        integer("age_s", "seconds since it was written"),
        boolean(
            "present",
            "TRUE a file of its name is where bundles are kept, FALSE it was kept there and is gone, NULL it was "
            "written elsewhere or the folder could not be read",
        ),
        boolean("unchanged", "that file has the digest the ledger noted; NULL when it was not read"),
    ),
    facts(
        "report_facts",
        "report",
        "A report that was written; `none` stands for the reports that nobody wrote.",
        "sha256 of its bytes",
        (),
        text("file", "its name"),
        time("from_at", "begin of its period"),
        time("to_at", "end of it"),
        boolean("written", "it is there to be read: FALSE of the row `none`"),
        boolean("superseded", "a later one is of the same period"),
        integer(
            "age_s",
            "seconds since it was written; of `none`: since the last period that a report covers ended",
        ),
        boolean("signed", "somebody signed these very bytes off"),
        text("signed_by", "who; empty when nobody did"),
        integer("signed_after_s", "seconds from its writing to the sign-off; NULL when nobody signed"),
    ),
    facts(
        "zone_facts",
        "zone",
        "A zone, by what was exported in it: the exports whose capture was due in the 30 days before the scan.",
        "name",
        (),
        integer(
            "due",
            "exports whose capture was due; superseded ones and those that wrote nothing left out",
            **_EXPORTS,
        ),
        integer("captured", "of these, captured in time", **_EXPORTS),
        integer("missed", "of these, not captured in time", **_EXPORTS),
        integer("open", "of these, neither: what captured them could not be seen", **_EXPORTS),
        boolean("all_seen", "TRUE when none of them is open; else NULL: each may have been captured or not"),
        integer("earlier", "of these, known from earlier scans alone"),
    ),
)
