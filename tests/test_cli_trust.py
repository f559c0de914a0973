"""The trust commands as people and machines meet them: verdicts, exit codes, batches, and mistakes told once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli_case import ROOT, answer, run
from tests.trust_case import (
    ACCOUNT_OF_GOOGLE,
    GITHUB,
    GOOGLE,
    OTHER,
    OWN,
    export_role,
    github,
    google,
    may,
    policy,
    text,
)

ROLE = policy(may({"AWS": f"arn:aws:iam::{OWN}:role/app"}))
REQUEST = {
    "kind": "oidc",
    "principal": GOOGLE,
    "session": None,
    "action": "sts:AssumeRoleWithWebIdentity",
    "ctx": {
        f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE,
        f"{GOOGLE}:oaud": "aws-export",
        f"{GOOGLE}:aud": ACCOUNT_OF_GOOGLE,
    },
}


def put(folder: Path, name: str, told: Any) -> str:
    path = folder / name
    path.write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
    return str(path)


def batch(command: str, lines: list[Any]) -> list[dict[str, Any]]:
    """Run a batch over stdin as a process: what it reads and writes is bytes."""
    told = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines)
    done = subprocess.run(
        [sys.executable, "-m", "auditor", "trust", command, "--batch"],
        input=told,
        capture_output=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_sound_role_is_one_line(tmp_path: Path) -> None:
    path = put(tmp_path, "role.json", export_role())
    done = run("trust", "judge", path)
    assert done.exit_code == 0
    assert done.stdout == f"✓ {path}: sound; it names 1 principal\n"


def test_a_finding_is_told_as_verdict_sentence_proof_and_request(tmp_path: Path) -> None:
    path = put(tmp_path, "role.json", github("repo:acme/app:*"))
    lines = run("trust", "judge", path, "--account", OWN).stdout.splitlines()
    assert lines[0] == f"✗ {path}: 1 finding, the worst medium; it names 1 principal"
    assert lines[2:5] == [
        "  medium  github-any-ref  Statement[0]",
        "    Every branch or tag of acme/app may assume the role, so anyone who can push to it.",
        "    Proof: a workflow of the GitHub repository acme/app (branch any-branch) may assume the role.",
    ]
    assert json.loads(lines[5])["ctx"][f"{GITHUB}:sub"] == "repo:acme/app:ref:refs/heads/any-branch"


@pytest.mark.parametrize(("level", "code"), [("critical", 0), ("high", 0), ("medium", 3), ("low", 3)])
def test_judging_fails_on_the_level_that_was_asked_for(level: str, code: int, tmp_path: Path) -> None:
    path = put(tmp_path, "role.json", github("repo:acme/app:*"))
    assert run("trust", "judge", path, "--fail-on", level).exit_code == code


@pytest.mark.parametrize(
    ("old", "new", "word", "wider", "changed"),
    [
        (
            export_role(),
            google(oaud="aws-export", sub=ACCOUNT_OF_GOOGLE, aud=ACCOUNT_OF_GOOGLE),
            "equivalent",
            0,
            0,
        ),
        (github("repo:acme/app:*"), github("repo:acme/app:ref:refs/heads/main"), "narrower", 0, 3),
        (github("repo:acme/app:ref:refs/heads/main"), github("repo:acme/app:*"), "wider", 3, 3),
        (export_role(), ROLE, "incomparable", 3, 3),
    ],
)
def test_a_change_fails_a_pull_request_only_when_it_lets_more_in(
    old: Any, new: Any, word: str, wider: int, changed: int, tmp_path: Path
) -> None:
    base, after = put(tmp_path, "base.json", old), put(tmp_path, "new.json", new)
    done = run("trust", "diff", "--base", base, after, "--fail-on", "wider")
    assert done.exit_code == wider and word in done.stdout.splitlines()[0]
    assert run("trust", "diff", base, after, "--fail-on", "changed").exit_code == changed
    assert run("trust", "diff", base, after).exit_code == 0


def test_a_wider_policy_is_proven_in_words(tmp_path: Path) -> None:
    base = put(tmp_path, "base.json", github("repo:acme/app:ref:refs/heads/main"))
    after = put(tmp_path, "new.json", github("repo:acme/*:ref:refs/heads/main"))
    said = " ".join(run("trust", "diff", base, after).stdout.split())
    assert "a workflow of the GitHub repository acme/any-repo (branch main) may now assume the role" in said


def test_feasible_and_textual_verdicts_are_both_told(tmp_path: Path) -> None:
    base, after = (
        put(tmp_path, "a.json", github("repo:acme/*:*")),
        put(tmp_path, "b.json", github("repo:acme/*")),
    )
    row = answer("trust", "diff", base, after)["rows"][0]
    assert (row["verdict"], row["feasible_verdict"]) == ("wider", "equivalent")
    assert "Of what a real caller can present, it is equivalent." in run("trust", "diff", base, after).stdout
    assert run("trust", "diff", base, after, "--fail-on", "wider").exit_code == 3
    assert run("trust", "diff", base, after, "--fail-on", "wider", "--level", "feasible").exit_code == 0


def test_a_plan_alone_is_compared_with_what_it_replaces(tmp_path: Path) -> None:
    def change(address: str, before: Any, after: Any) -> dict[str, Any]:
        sides = {
            name: each and {"assume_role_policy": text(each)}
            for name, each in (("before", before), ("after", after))
        }
        return {"address": address, "type": "aws_iam_role", "change": sides}

    changes = [
        change("aws_iam_role.a", ROLE, ROLE),
        change("aws_iam_role.b", None, ROLE),
        change("aws_iam_role.c", ROLE, None),
    ]
    plan = put(tmp_path, "plan.json", {"resource_changes": changes})
    rows = answer("trust", "diff", plan)["rows"]
    assert [row["verdict"] for row in rows] == ["equivalent", "wider", "narrower"]
    assert run("trust", "diff", plan, "--fail-on", "wider").exit_code == 3
    assert len(answer("trust", "judge", plan)["rows"]) == 2


def test_explaining_shows_what_every_statement_makes_of_the_proof(tmp_path: Path) -> None:
    deny = may("*", "*", "Deny", Bool={"aws:MultiFactorAuthPresent": "false"})
    path = put(tmp_path, "role.json", policy(may({"AWS": OWN}), deny))
    said = " ".join(run("trust", "judge", path, "--account", OWN, "--explain").stdout.split())
    assert "Asked: Do long-term access keys pass" in said
    assert "Allow Statement[0] matches: it has no tests" in said
    assert "but aws:multifactorauthpresent is absent" in said.lower()
    assert "Do: Test Bool" in said
    walked = run("trust", "diff", path, put(tmp_path, "new.json", policy(may("*"))), "--explain").stdout
    assert "  + Allow *: sts:AssumeRole" in walked.splitlines()


def test_who_names_everyone_with_the_tests_that_must_hold(tmp_path: Path) -> None:
    said = run("trust", "who", put(tmp_path, "role.json", export_role())).stdout
    assert "1 principal may assume the role" in said
    assert f'if StringEquals {GOOGLE}:oaud "aws-export"' in said
    row = answer("trust", "who", put(tmp_path, "role.json", export_role()))["rows"][0]["who"][0]
    assert set(row) == {"kind", "principal", "tests", "example"} and row["principal"] == GOOGLE


def test_one_request_is_judged_with_the_statement_that_decides(tmp_path: Path) -> None:
    role, request = put(tmp_path, "role.json", export_role()), put(tmp_path, "request.json", REQUEST)
    assert run("trust", "evaluate", role, request).stdout.startswith("✓ allowed\n")
    refused = put(tmp_path, "no.json", REQUEST | {"ctx": {}})
    assert run("trust", "evaluate", role, refused).stdout.startswith("✗ refused\n")
    assert answer("trust", "evaluate", role, request)["rows"][0]["allowed"] is True


def test_yaml_templates_are_read_with_their_tags_dates_and_account_ids(tmp_path: Path) -> None:
    template = f"""
    Parameters:
      Audience: {{Type: String}}
    Resources:
      Export:
        Type: AWS::IAM::Role
        Properties:
          AssumeRolePolicyDocument:
            Version: 2012-10-17
            Statement:
              - Effect: Allow
                Principal: {{Federated: accounts.google.com}}
                Action: sts:AssumeRoleWithWebIdentity
                Condition:
                  StringEquals:
                    accounts.google.com:sub: {ACCOUNT_OF_GOOGLE}
                    accounts.google.com:oaud: !Ref Audience
      Twice:
        Type: AWS::IAM::Role
        Properties:
          AssumeRolePolicyDocument:
            Statement:
              Effect: Allow
              Effect: Deny
              Principal: {{AWS: !Sub 'arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:root'}}
              Action: sts:AssumeRole
    """
    path = put(tmp_path, "template.yaml", template)
    done = run("trust", "judge", path)
    assert done.exit_code == 2
    assert "template.yaml: Export: AssumeRolePolicyDocument.Statement[0].Condition" in done.stderr
    assert "is Ref Audience, whose value the template does not hold" in done.stderr
    given = run(
        "trust",
        "judge",
        path,
        "--set",
        "Audience=aws-export",
        "--set",
        "AWS::Partition=aws",
        "--account",
        OWN,
    )
    assert "Export: sound" in given.stdout
    assert "Twice: Statement[0]: the key 'Effect' stands there twice" in given.stderr


@pytest.mark.parametrize(
    ("name", "told", "place"),
    [
        ("a.yaml", "a: [1", "a.yaml, line"),
        ("a.yaml", "Resources: {A: {Type: 'AWS::IAM::Role', Properties: {AssumeRolePolicyDocument: {Statement: 010}}}}", "octal"),
        ("a.yaml", "a: &a [*a]", "nested too deeply"),
        ("a.yaml", "a: &a [x, x, x]\n" + "".join(f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'}, *{'a' if n == 0 else f'b{n - 1}'}]\n" for n in range(30)), "too large"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "JSON object"),
        ("a.json", "", "not JSON"),
        ("a.json", "{", "a.json: the policy, line 1"),
        ("a.json", "[]", "JSON object"),
        ("a.json", "{}", "no Statement"),
        ("a.json", '{"Statement": 5}', "Statement[0]"),
        ("a.json", '{"a":' * 3000, "deep"),
        ("a.json", json.dumps({"Statement": [], "x": "y" * 10_000_000}), "10,000,"),
        ("a.json", json.dumps(policy(may("*", Strings={"a": "b"}))), "Condition"),
        ("a.json", json.dumps(policy(may({"AWS": 5}))), "Principal"),
        ("a.json", json.dumps(policy(may({"AWS": "11112222333"}))), "Statement[0].Principal.AWS"),
        ("a.json", json.dumps(policy(may({"AWS": "arn:aws:iam::x:role/y"}))), "Statement[0].Principal.AWS"),
    ],
)  # fmt: skip
def test_bad_input_is_one_error_with_file_and_place(name: str, told: str, place: str, tmp_path: Path) -> None:
    done = run("trust", "judge", put(tmp_path, name, told))
    assert done.exit_code == 2, done.output
    assert place.lower() in done.stderr.lower() and name in done.stderr
    assert "Traceback" not in done.output and len(done.stderr.splitlines()) <= 2


def test_a_file_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "role.json"
    path.write_bytes(b'{"Version":\n "\xff"}')
    done = run("trust", "judge", str(path))
    assert done.exit_code == 2 and "line 2: not UTF-8" in done.stderr


def test_hostile_names_do_not_act_on_the_terminal(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "role.json",
        policy(may({"AWS": f"arn:aws:iam::{OWN}:role/\x1b[31m\u202egnp"}) | {"Sid": "\x1b[2J"}),
    )
    for args in (["judge", path, "--explain"], ["who", path, "--explain"], ["diff", path, path, "--explain"]):
        said = run("trust", *args).output
        assert "\x1b" not in said and "\u202e" not in said


@pytest.mark.parametrize(
    "args", [["judge"], ["diff"], ["diff", "ROLE"], ["evaluate", "ROLE"], ["judge", "ROLE", "--account", "12"], ["judge", "ROLE", "--set", "x"], ["judge", "nowhere.json"]]
)  # fmt: skip
def test_a_mistake_on_the_command_line_ends_with_2(args: list[str], tmp_path: Path) -> None:
    role = put(tmp_path, "role.json", ROLE)
    assert run("trust", *(role if each == "ROLE" else each for each in args)).exit_code == 2


def test_a_batch_of_comparisons_keeps_its_order_and_its_errors_are_rows() -> None:
    twice = b'{"id": 7, "a": {"Statement": []}, "b": {"Statement": [], "Statement": []}}'
    rows = batch(
        "diff",
        [
            {"id": "1", "a": export_role(), "b_text": text(google(oaud="aws-export"))},
            b"nonsense",
            {"id": 3, "a": ROLE},
            {"id": None, "a": ROLE, "b": ROLE},
            {"id": "5", "a": ROLE, "b": {"Statement": [{"Effect": "Perhaps"}]}},
            b"\xff",
            twice,
            {"id": "8", "a_text": text(export_role()), "b_text": "%7B"},
        ],
    )
    assert [row["id"] for row in rows] == ["1", None, 3, None, "5", None, 7, "8"]
    first = rows[0]
    assert set(first) == {
        "id",
        "verdict",
        "level",
        "feasible_verdict",
        "witness_a_only",
        "witness_b_only",
        "because",
    }
    assert (first["verdict"], first["level"], first["feasible_verdict"]) == ("wider", "language", "wider")
    assert (
        set(first["witness_b_only"]) == {"kind", "principal", "session", "action", "ctx"}
        and first["witness_a_only"] is None
    )
    assert rows[3]["verdict"] == "equivalent"
    assert "line 2" in rows[1]["error"] and "neither b nor b_text" in rows[2]["error"]
    assert rows[4]["place"] == "Statement[0].Effect" and rows[4]["error"].startswith("b: ")
    assert "twice" in rows[6]["error"] and all("error" in row for row in rows[4:])


def test_a_batch_of_judgements_gives_findings_and_who() -> None:
    twice = text(ROLE).replace('"Effect"', '"Effect": "Deny", "Effect"')
    rows = batch(
        "judge",
        [
            {"id": "sound", "policy": export_role()},
            {"id": "root", "policy": policy(may({"AWS": OTHER})), "account": OWN},
            {"id": "odd", "policy": policy(may({"AWS": "11"})), "account": OWN},
            {"id": "twice", "policy_text": twice},
            {"id": "bad", "policy": ROLE, "account": 5},
        ],
    )
    assert rows[0]["findings"] == [] and [row["principal"] for row in rows[0]["who"]] == [GOOGLE]
    assert [each["name"] for each in rows[1]["findings"]] == ["missing-external-id", "external-account"]
    assert {"name", "because", "witness", "severity", "statements"} <= set(rows[1]["findings"][0])
    assert [each["name"] for each in rows[2]["findings"]] == ["invalid-principal"]
    assert rows[2]["place"] == "Statement[0].Principal.AWS" and "12" in rows[2]["error"]
    assert [each["name"] for each in rows[3]["findings"]] == ["duplicate-key"] and rows[3]["error"]
    assert rows[4]["error"]


def test_a_batch_of_requests_is_judged_one_by_one() -> None:
    rows = batch(
        "evaluate",
        [
            {"id": 1, "policy": export_role(), "request": REQUEST},
            {"id": 2, "policy": export_role(), "request": REQUEST | {"ctx": {}}},
            {"id": 3, "policy": export_role(), "request": {"kind": "alien"}},
            {"id": 4, "policy": export_role()},
        ],
    )
    assert [row.get("allowed") for row in rows] == [True, False, None, None]
    assert all(set(row) == {"id", "allowed", "because"} for row in rows[:2])
    assert all("request" in row["error"] for row in rows[2:])


def test_witnesses_of_a_batch_are_requests_of_another() -> None:
    (row,) = batch("diff", [{"id": 1, "a": ROLE, "b": github()}])
    asked = [{"id": 1, "policy": document, "request": row["witness_b_only"]} for document in (ROLE, github())]
    assert [each["allowed"] for each in batch("evaluate", asked)] == [False, True]


@pytest.mark.parametrize(
    "args", [["--help"], ["trust", "--help"], ["trust", "judge", "--help"], ["trust", "diff", "--help"]]
)
def test_help_imports_neither_the_engine_nor_yaml(args: list[str]) -> None:
    program = (
        "import sys\nfrom auditor.cli._root import cli\n"
        f"try:\n    cli({args!r}, prog_name='auditor')\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not [name for name in sys.modules if name.startswith('auditor.policy') or name == 'yaml'], sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
