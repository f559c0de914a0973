"""A foreign evaluator, @cloud-copilot/iam-simulate, agrees on random requests but for four differences, each a test here.

It needs node and the package: `npm install --prefix tests/foreign`, or AUDITOR_NODE_MODULES with the folder that holds it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from auditor.policy.evaluate import allowed
from auditor.policy.model import Request
from auditor.policy.parse import parse
from tests.policy_case import ROOT, A, document, role, statement
from tests.policy_random import Document, keys_of, random_policy, requests

HERE = Path(__file__).parent / "foreign"
MODULES = Path(os.environ.get("AUDITOR_NODE_MODULES") or HERE / "node_modules")
NODE = shutil.which("node")
POLICIES = 900
EACH = 60
SAYS_YES = ("Allowed", "AllowedForAccount")

pytestmark = pytest.mark.skipif(
    NODE is None or not (MODULES / "@cloud-copilot/iam-simulate").is_dir(),
    reason="node or @cloud-copilot/iam-simulate is not there: npm install --prefix tests/foreign",
)


def foreign(asked: list[tuple[Document, list[Request]]]) -> list[list[bool]]:
    """Put policies and requests to the foreign evaluator."""
    lines = [json.dumps({"policy": policy, "requests": [_told(each) for each in of]}) for policy, of in asked]
    command = [str(NODE), str(HERE / "evaluate.cjs"), str(MODULES)]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [each for line in answers for each in line if each.startswith("error")]
    return [[each in SAYS_YES for each in line] for line in answers]


def _told(request: Request) -> dict[str, Any]:
    ctx, principal = dict(request.as_dict()["ctx"]), request.principal
    if request.kind == "aws":
        account = principal.split(":")[4]
        ctx |= {"aws:PrincipalArn": principal, "aws:PrincipalAccount": account}
        if request.session:
            principal = (
                f"arn:aws:sts::{account}:assumed-role/{principal.rpartition('/')[2]}/{request.session}"
            )
    return {"principal": principal, "action": request.action, "ctx": ctx}


def both(policy: Document, request: Request) -> tuple[bool, bool]:
    """Return what we say and what the foreign evaluator says."""
    return allowed(parse(policy), request).allowed, foreign([(policy, [request])])[0][0]


def _differs(policy: Document, request: Request) -> bool:
    """Say whether a request is one of those that the tests below tell."""
    text = json.dumps(policy)
    federated = request.kind in ("oidc", "saml") and ":iam::" in request.principal
    short = "arn:aws:s3*:a" in text or request.ctx.get("k:a") == "x"
    return "${" in text or federated or ("ArnNot" in text and short)


def test_the_foreign_evaluator_agrees_on_random_requests() -> None:
    rng = random.Random(17)
    asked = []
    while len(asked) < POLICIES:
        policy = random_policy(rng)
        made = [each for each in requests(rng, keys_of(policy), EACH * 2) if not _differs(policy, each)][
            :EACH
        ]
        if len(made) == EACH:
            asked.append((policy, made))
    compared = 0
    for (policy, made), answers in zip(asked, foreign(asked), strict=True):
        read = parse(policy)
        for request, answer in zip(made, answers, strict=True):
            assert allowed(read, request).allowed == answer, (request.as_dict(), policy)
            compared += 1
    assert compared == POLICIES * EACH


def test_it_lets_a_federated_provider_in_where_only_its_account_is_named() -> None:
    request = Request("saml", f"arn:aws:iam::{A}:saml-provider/Okta", None, "sts:AssumeRoleWithSAML")
    assert both(document(statement(ROOT, "*")), request) == (False, True)


def test_it_takes_an_escaped_star_as_text_in_an_operator_without_wildcards() -> None:
    assert both(document(statement("*", StringEquals={"k:s": "${*}"})), role(k__s="*")) == (True, False)
    assert both(document(statement("*", StringLike={"k:s": "${*}"})), role(k__s="*")) == (True, True)


def test_it_fails_a_negated_test_whose_variable_has_no_value() -> None:
    assert both(document(statement("*", StringNotEquals={"k:s": "${k:t}"})), role(k__s="a")) == (True, False)


def test_it_fails_a_negated_arn_test_of_what_is_no_arn() -> None:
    assert both(document(statement("*", ArnNotLike={"k:a": "arn:aws:s3:::a"})), role(k__a="x")) == (
        True,
        False,
    )
