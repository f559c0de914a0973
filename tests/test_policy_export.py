"""The export chain's question is answered with yes, with a witness, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.policy.evaluate import allowed
from auditor.policy.export import admits_exactly
from auditor.policy.parse import parse
from tests.trust_case import ACCOUNT_OF_GOOGLE, GOOGLE, OWN, export_role, google, may, policy, provider, web

AUDIENCE = "aws-export"
ME = {"Federated": GOOGLE}


def asked(document: dict[str, Any]) -> Any:
    return admits_exactly(parse(document), subject=ACCOUNT_OF_GOOGLE, audience=AUDIENCE)


@pytest.mark.parametrize(
    "document",
    [
        export_role(),
        google(sub=ACCOUNT_OF_GOOGLE, oaud=AUDIENCE),
        policy(web(ME, StringLike={f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE, f"{GOOGLE}:oaud": AUDIENCE})),
        policy(web(ME, StringEquals={f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE, f"{GOOGLE}:oaud": AUDIENCE, "sts:RoleSessionName": "x"})),
        policy(
            web(ME, StringEquals={f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE}),
            may("*", "*", "Deny", StringNotEquals={f"{GOOGLE}:oaud": AUDIENCE}),
        ),
        policy(*export_role()["Statement"], may({"AWS": "AROAEXAMPLEEXAMPLEEXA"})),
    ],
)  # fmt: skip
def test_a_role_for_one_service_account_and_audience_admits_exactly_it_however_written(
    document: dict[str, Any],
) -> None:
    answer = asked(document)
    assert answer.yes is True and answer.witness is None
    assert ACCOUNT_OF_GOOGLE in answer.because


@pytest.mark.parametrize(
    "document",
    [
        google(oaud=AUDIENCE),
        google(sub=ACCOUNT_OF_GOOGLE),
        google(sub=ACCOUNT_OF_GOOGLE, aud=ACCOUNT_OF_GOOGLE),
        policy(web(ME, StringLike={f"{GOOGLE}:sub": "1042*"}, StringEquals={f"{GOOGLE}:oaud": AUDIENCE})),
        policy(*export_role()["Statement"], may({"AWS": OWN})),
        policy(web("*", StringEquals={f"{GOOGLE}:oaud": AUDIENCE})),
        policy(
            web(
                ME,
                **{"ForAllValues:StringEquals": {f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE}},
                StringLike={f"{GOOGLE}:oaud": "*"},
            )
        ),
    ],
)
def test_a_role_that_admits_anybody_else_is_answered_with_that_request(document: dict[str, Any]) -> None:
    answer = asked(document)
    assert answer.yes is False
    assert answer.witness is not None and allowed(parse(document), answer.witness).allowed


@pytest.mark.parametrize(
    "document",
    [
        google(sub=ACCOUNT_OF_GOOGLE, aud=AUDIENCE, oaud=AUDIENCE),
        google(sub="104200000000000000002", oaud="other") | {"Statement": []},
        policy(*export_role()["Statement"], may("*", "*", "Deny")),
        policy(
            web(
                ME,
                StringEquals={
                    f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE,
                    f"{GOOGLE}:oaud": AUDIENCE,
                    f"{GOOGLE}:email": "a@b",
                },
            )
        ),
    ],
)
def test_a_role_that_refuses_its_own_service_account_is_no_yes(document: dict[str, Any]) -> None:
    answer = asked(document)
    assert answer.yes is False
    assert answer.witness is not None and not allowed(parse(document), answer.witness).allowed
    assert "itself is refused" in answer.because


def test_an_iam_provider_for_google_is_somebody_else() -> None:
    same = {f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE, f"{GOOGLE}:oaud": AUDIENCE}
    assert asked(policy(web(provider(GOOGLE), StringEquals=same))).yes is False


def test_what_cannot_be_decided_is_neither_yes_nor_no() -> None:
    mixed = {f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE, f"{GOOGLE}:oaud": AUDIENCE}
    document = policy(web(ME, StringEquals=mixed, NumericLessThan={f"{GOOGLE}:sub": "2"}))
    answer = asked(document)
    assert answer.yes is not True
