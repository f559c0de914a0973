"""Laws of comparison, on random policies: what brute force finds, what order and form may not change, what can only narrow."""

from __future__ import annotations

import copy
import json
import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.policy.compare import compare
from auditor.policy.evaluate import admits, allowed
from auditor.policy.globs import ANY, DIGIT, NO_COLON, NO_COLON_STAR, STAR, Automaton
from auditor.policy.parse import parse
from auditor.policy.who import who
from tests.policy_random import Document, keys_of, random_policy, random_statement, random_test, requests

FULL = bool(os.environ.get("AUDITOR_FULL_LAWS"))
"""Set it for a run of an hour."""
laws = settings(max_examples=20_000 if FULL else 150)
seeds = st.integers(0, 2**32).map(random.Random)
SWAPPED = {"wider": "narrower", "narrower": "wider"}
CAUSES = (
    "mixed types",
    "variables beyond equality and prefix",
    "too complex: the patterns",
    "too complex: too many",
)


def edited(rng: random.Random, policy: Document) -> Document:
    """The same policy after one or two small edits."""
    policy = copy.deepcopy(policy)
    for _ in range(rng.choice([1, 1, 2])):
        statement, chance = rng.choice(policy["Statement"]), rng.random()
        if chance < 0.2:
            policy["Statement"].append(random_statement(rng))
        elif chance < 0.5:
            operator, key, values = random_test(rng)
            statement.setdefault("Condition", {}).setdefault(operator, {})[key] = values
        elif chance < 0.6:
            statement.pop("Condition", None)
        elif chance < 0.7:
            statement["Effect"] = rng.choice(["Allow", "Deny"])
        else:
            other = random_statement(rng)
            for name in ("Principal", "NotPrincipal", "Action", "NotAction"):
                statement.pop(name, None)
            statement |= {name: value for name, value in other.items() if name not in ("Effect", "Condition")}
    return policy


@laws
@given(seeds)
def test_brute_force_finds_no_difference_that_the_procedure_missed(rng: random.Random) -> None:
    a = random_policy(rng)
    b = edited(rng, a)
    one, other = parse(a), parse(b)
    found = compare(one, other)
    assert found.verdict != "undecided" or found.because.startswith(CAUSES), found
    for at, request in enumerate(requests(rng, keys_of(a, b), 5_000 if FULL else 400)):
        there, here = allowed(one, request).allowed, allowed(other, request).allowed
        if at % 8 == 0:
            assert (there, here) == (admits(one, request), admits(other, request))
        if there and not here:
            assert found.verdict in ("narrower", "incomparable", "undecided"), (request, a, b)
        if here and not there:
            assert found.verdict in ("wider", "incomparable", "undecided"), (request, a, b)


@laws
@given(seeds)
def test_every_witness_is_admitted_by_one_side_alone_and_the_sides_swap(rng: random.Random) -> None:
    a, b = random_policy(rng), random_policy(rng)
    one, other = parse(a), parse(b)
    found, back = compare(one, other), compare(other, one)
    assert back.verdict == SWAPPED.get(found.verdict, found.verdict)
    for witness, ours, theirs in ((found.witness_a_only, one, other), (found.witness_b_only, other, one)):
        if witness is not None:
            assert allowed(ours, witness).allowed
            assert not allowed(theirs, witness).allowed


@laws
@given(seeds)
def test_a_policy_is_equivalent_to_itself_in_any_order_and_form(rng: random.Random) -> None:
    policy = random_policy(rng)
    shuffled = copy.deepcopy(policy)
    rng.shuffle(shuffled["Statement"])
    for number, statement in enumerate(shuffled["Statement"]):
        statement["Sid"] = f"S{number}"
        items = list(statement.get("Condition", {}).items())
        rng.shuffle(items)
        if items:
            statement["Condition"] = {
                operator: {
                    key.upper() if "/" not in key else key: rng.sample(values, len(values))
                    if isinstance(values, list)
                    else [values]
                    for key, values in keys.items()
                }
                for operator, keys in items
            }
    assert compare(parse(policy), parse(json.dumps(shuffled, indent=3))).verdict == "equivalent"
    twice = policy | {"Statement": [*policy["Statement"], *shuffled["Statement"]]}
    assert compare(parse(policy), parse(twice)).verdict == "equivalent"


@laws
@given(seeds)
def test_narrowing_a_statement_never_makes_a_policy_wider(rng: random.Random) -> None:
    policy = random_policy(rng)
    narrowed = copy.deepcopy(policy)
    allowing = [each for each in narrowed["Statement"] if each["Effect"] == "Allow"]
    if allowing and rng.random() < 0.6:
        operator, key, values = random_test(rng)
        condition = rng.choice(allowing).setdefault("Condition", {})
        if key not in condition.get(operator, {}):
            condition.setdefault(operator, {})[key] = values
    elif allowing and rng.random() < 0.5:
        narrowed["Statement"].remove(allowing[0])
    else:
        narrowed["Statement"].append(random_statement(rng) | {"Effect": "Deny"})
    assert compare(parse(policy), parse(narrowed)).verdict in ("equivalent", "narrower", "undecided")


@laws
@given(seeds)
def test_what_is_feasible_is_part_of_what_the_text_admits(rng: random.Random) -> None:
    a, b = parse(random_policy(rng)), parse(random_policy(rng))
    text, real = compare(a, b), compare(a, b, level="feasible")
    if text.verdict != "undecided" and real.verdict != "undecided":
        assert (text.verdict, real.verdict) in {
            (text.verdict, text.verdict), (text.verdict, "equivalent"), ("incomparable", "wider"), ("incomparable", "narrower"),
        }  # fmt: skip


@laws
@given(seeds)
def test_everyone_named_has_an_example_and_a_policy_without_anyone_admits_nothing(rng: random.Random) -> None:
    policy = parse(random_policy(rng))
    rows = who(policy)
    for row in rows:
        assert row.example is None or allowed(policy, row.example).allowed
    nobody = compare(policy, parse({"Statement": []})).verdict
    assert (nobody == "equivalent") == (not rows) or nobody == "undecided"


@laws
@given(seeds)
def test_a_text_read_at_once_matches_what_it_matches_read_character_by_character(rng: random.Random) -> None:
    tokens = ["a", "b", ":", "1", STAR, NO_COLON_STAR, ANY, NO_COLON, DIGIT]
    patterns = [
        (tuple(rng.choices(tokens, k=rng.randint(0, 6))), rng.random() < 0.2)
        for _ in range(rng.randint(1, 4))
    ]
    automaton = Automaton(patterns)
    for _ in range(10):
        text = "".join(rng.choices("ab:1AB", k=rng.randint(0, 8)))
        state = automaton.start
        for character in text:
            state = automaton.read(state, character)
        assert automaton.matching(text) == automaton.accepted(state), (patterns, text)
