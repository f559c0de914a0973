"""Permissions in the forms that other tools take: IAM policies, a custom role of Google Cloud, Terraform."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from auditor.permissions import Permissions, Statement, parted

_WORDS = {
    "scan": "what auditor reads; it changes nothing",
    "delivery": "where auditor sends alerts and puts reports",
    "caller": "the roles that whoever runs auditor assumes",
}


def aws_policies(permissions: Permissions) -> str:
    """Return the policy documents as JSON, one after another."""
    return "\n".join(json.dumps(each, indent=2) for each in permissions.policies())


def gcp_role(permissions: Permissions) -> str:
    """Return a custom role as YAML, for `gcloud iam roles create --file`."""
    lines = [
        f"# {_WORDS[permissions.purpose]}.",
        *(
            [
                "# Made in the organization (`--organization`): no other role can hold permissions on folders and on it."
            ]
            if any(each.startswith("resourcemanager.") for each in permissions.gcp)
            else []
        ),
        f"title: Auditor {permissions.purpose}",
        f"description: {_WORDS[permissions.purpose].capitalize()}",
        "stage: GA",
        "includedPermissions:",
        *(f"- {each}" for each in permissions.gcp),
    ]
    return "\n".join(lines)


def terraform(all_of: Iterable[Permissions]) -> str:
    """Return everything as HCL, laid out as `terraform fmt` leaves it."""
    blocks: list[str] = []
    gcp = [each for each in all_of if each.gcp]
    for each in all_of:
        parts = parted(each.statements)
        for number, part in enumerate(parts, 1):
            more = f"_{number}" if len(parts) > 1 else ""
            blocks += _policy(f"auditor_{each.purpose}{more}", each.purpose, part)
    if gcp:
        described = "Number of the organization that the custom roles of auditor are made in."
        blocks.append(
            f'variable "auditor_organization" {{\n  description = {_text(described)}\n  type        = string\n}}'
        )
    blocks += (_custom_role(each) for each in gcp)
    return "\n\n".join(blocks)


def _policy(name: str, purpose: str, part: Sequence[Statement]) -> Iterator[str]:
    statements = "\n\n".join(_statement(each) for each in part)
    yield f'# {_WORDS[purpose]}.\ndata "aws_iam_policy_document" "{name}" {{\n{statements}\n}}'
    yield (
        f'resource "aws_iam_policy" "{name}" {{\n'
        f"  name   = {_text(name.replace('_', '-'))}\n"
        f"  policy = data.aws_iam_policy_document.{name}.json\n}}"
    )


def _statement(statement: Statement) -> str:
    lines = [
        f"  # {statement.because}.",
        "  statement {",
        f"    sid = {_text(statement.sid)}",
        "",
        *_list("actions", statement.actions, 4),
        "",
        *_list("resources", statement.resources, 4),
    ]
    for how, keys in statement.condition.items():
        for key, values in keys.items():
            lines += [
                "",
                "    condition {",
                f"      test     = {_text(how)}",
                f"      variable = {_text(key)}",
                "",
                *_list("values", values, 6),
                "    }",
            ]
    return "\n".join([*lines, "  }"])


def _list(name: str, values: Iterable[str], indent: int) -> list[str]:
    margin = " " * indent
    return [f"{margin}{name} = [", *(f"{margin}  {_text(value)}," for value in values), f"{margin}]"]


def _custom_role(permissions: Permissions) -> str:
    lines = [
        f"# {_WORDS[permissions.purpose]}.",
        f'resource "google_organization_iam_custom_role" "auditor_{permissions.purpose}" {{',
        "  org_id  = var.auditor_organization",
        f"  role_id = {_text(f'auditor.{permissions.purpose}')}",
        f"  title   = {_text(f'Auditor {permissions.purpose}')}",
        "",
        *_list("permissions", permissions.gcp, 2),
        "}",
    ]
    return "\n".join(lines)


def _text(value: str) -> str:
    """Return a text in HCL: `${` and `%{` begin a template there."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
