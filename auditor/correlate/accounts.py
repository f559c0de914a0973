"""Google's service accounts as they were listed: which unique ids are alive, and which are no more."""

from __future__ import annotations

import re

from auditor.correlate import Tables
from auditor.correlate.zoning import listed

_OWN = re.compile(r"[^@]+@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")


def alive(tables: Tables) -> set[str]:
    """Return the unique ids of accounts that are there and enabled."""
    return {row["unique_id"] for row in tables["gcp_service_account"] if row["disabled"] is False}


def dead(tables: Tables) -> set[str]:
    """Return the unique ids that stand for no account, or for one that is disabled.

    A configured id is dead when its account's project was listed to the end without it: deleted, or made anew under
    the same e-mail, which gives another id.
    """
    rows = tables["gcp_service_account"]
    by_email = {row["email"].lower(): row["unique_id"] for row in rows}
    found = {row["unique_id"] for row in rows if row["disabled"]}
    for row in tables["config_subject"]:
        email = row["service_account"].lower()
        own = _OWN.fullmatch(email)
        if email in by_email:
            gone = by_email[email] != row["subject"]
        else:
            gone = own is not None and listed(tables["coverage"], "gcp_service_account", own["project"])
        if gone:
            found.add(row["subject"])
    return found
