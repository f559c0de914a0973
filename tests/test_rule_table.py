"""No rule without its cases."""

from __future__ import annotations

import test_rule_cases_product
from rule_table import cases, missing, shipped

NUMBER = 136
"""Rules of the catalogue."""


def test_every_rule_of_the_catalogue_is_seen_to_pass_to_fail_and_to_leave_open() -> None:
    assert len(shipped().rules) >= NUMBER
    assert shipped().broken == ()
    assert list(missing()) == []


def test_every_case_that_a_test_plays_is_a_test() -> None:
    for code, verdict, test in test_rule_cases_product.CASES:
        assert callable(getattr(test_rule_cases_product, test, None)), (code, verdict, test)


def test_no_case_is_of_a_rule_that_does_not_exist() -> None:
    assert cases().keys() <= {rule.code for rule in shipped().rules}
