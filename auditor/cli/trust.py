"""Judge trust policies by meaning, and compare two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import F, answering, app, shared
from auditor.errors import FAILING, UsageError
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.policy.documents import Document

FILES = click.argument(
    "paths", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="FILE..."
)


@click.group("trust")
@shared
def command() -> None:
    """Judge trust policies by meaning, and compare two. No account is asked, no configuration is read.

    FILE is a policy document, the output of `aws iam get-role` or `get-account-authorization-details`, a CloudFormation
    template, or a Terraform plan as JSON; `-` is stdin. docs/trust.md tells what is found.
    """


def _reading(command: F) -> F:
    """Add the options of commands that read files."""
    for option in (
        click.option(
            "--set", "sets", multiple=True, metavar="NAME=VALUE", help="A value that a template leaves open."
        ),
        click.option("--explain", is_flag=True, help="Walk through the verdict, statement by statement."),
        click.option("--batch", is_flag=True, help="JSON lines in, JSON lines out; an error is a row."),
    ):
        command = option(command)
    return command


def _account(command: F) -> F:
    return click.option(
        "--account",
        metavar="ID",
        callback=_twelve,
        help="The role's own account, where the file does not tell.",
    )(command)


def _twelve(_: click.Context, __: click.Parameter, value: Any) -> Any:
    for each in value if isinstance(value, tuple) else (value,):
        if each is not None and not (len(each) == 12 and each.isascii() and each.isdigit()):
            raise UsageError(f"{each!r} is no account id: it has 12 digits")
    return value


@command.command("judge")
@FILES
@_account
@click.option(
    "--trusted", multiple=True, metavar="ID", callback=_twelve, help="An account that is not external."
)
@click.option(
    "--fail-on", type=click.Choice(SEVERITIES), help="Exit 3 when a finding is this severe or worse."
)
@_reading
@answering
def judge(
    paths: tuple[str, ...],
    account: str | None,
    trusted: tuple[str, ...],
    fail_on: str | None,
    sets: tuple[str, ...],
    explain: bool,
    batch: bool,
) -> int:
    """Say what each trust policy should be known for, with a request that proves it."""
    from auditor.cli import _trust as trust
    from auditor.cli._text import write
    from auditor.cli._trust_text import judged
    from auditor.policy.findings import findings
    from auditor.policy.who import who

    if batch:
        trust.batch(paths, lambda asked: _judged_row(asked, account, trusted))
        return 0
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    worst = len(SEVERITIES)
    for document in trust.all_documents(paths, trust.given(sets, account)):
        if document.side == "before":
            continue
        try:
            policy = trust.policy_of(document, strict=False)
        except UsageError as error:
            wrong.append(error.args[0])
            rows.append(
                {"name": document.name, "account": document.account or account, "error": error.args[0]}
                | _named(error)
            )
            continue
        found = findings(policy, account=document.account or account, trusted_accounts=frozenset(trusted))
        admitted = who(policy)
        refusal = _refusal(document)
        wrong += [refusal] if refusal else []
        worst = min([worst, *(SEVERITIES.index(each.severity) for each in found)])
        rows.append(
            {
                "name": document.name,
                "account": document.account or account,
                "error": refusal,
                "findings": [trust.finding_row(each) for each in found],
                "who": [trust.who_row(each) for each in admitted],
            }
        )
        if not app().json:
            write(
                [
                    *([""] if len(rows) > 1 else []),
                    *judged(document.name, found, admitted, explain=explain, policy=policy),
                ]
            )
    _finish("trust.judge", rows, wrong)
    return FAILING if fail_on and worst <= SEVERITIES.index(fail_on) else 0


def _judged_row(asked: Mapping[str, Any], account: str | None, trusted: tuple[str, ...]) -> dict[str, Any]:
    from auditor.cli import _trust as trust
    from auditor.policy.findings import findings
    from auditor.policy.parse import PolicyError
    from auditor.policy.who import who

    policy = trust.policy_in(asked, "policy", strict=False)
    refusal: dict[str, Any] = {}
    try:
        trust.policy_in(asked, "policy")
    except PolicyError as error:
        refusal = {"error": error.args[0], "place": error.place or None}
    own = asked.get("account")
    if own is not None and not isinstance(own, str):
        raise UsageError("account is a text of 12 digits")
    found = findings(policy, account=own or account, trusted_accounts=frozenset(trusted))
    return {
        "findings": [trust.finding_row(each) for each in found],
        "who": [trust.who_row(each) for each in who(policy)],
    } | refusal


def _refusal(document: Document) -> str | None:
    """Return what IAM would refuse in a document that could be judged all the same: an ill-formed principal."""
    from auditor.cli import _trust as trust

    try:
        trust.policy_of(document)
    except UsageError as error:
        return str(error.args[0])
    return None


def _named(error: UsageError) -> dict[str, Any]:
    """Return the finding that a mistake in a document amounts to, as a row's part."""
    from auditor.cli import _trust as trust
    from auditor.policy.findings import refused
    from auditor.policy.parse import PolicyError

    cause = error.__cause__
    found = refused(cause) if isinstance(cause, PolicyError) else ()
    return {"findings": [trust.finding_row(each) for each in found], "who": []}


def _finish(name: str, rows: list[dict[str, Any]], wrong: list[str]) -> None:
    """Print the JSON answer if asked for; then say what could not be read."""
    if app().json:
        from auditor.cli._answer import envelope

        envelope(name, rows, complete=not wrong)
    if wrong:
        raise UsageError("\n".join(wrong))


@command.command("who")
@FILES
@_reading
@answering
def who_(paths: tuple[str, ...], sets: tuple[str, ...], explain: bool, batch: bool) -> None:
    """Say who may assume each role, and under which tests."""
    from auditor.cli import _trust as trust
    from auditor.cli._text import write
    from auditor.cli._trust_text import admitted
    from auditor.policy.who import who

    if batch:
        trust.batch(
            paths,
            lambda asked: {
                "who": [trust.who_row(each) for each in who(trust.policy_in(asked, "policy", strict=False))]
            },
        )
        return
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    for document in trust.all_documents(paths, trust.given(sets, None)):
        if document.side == "before":
            continue
        try:
            policy = trust.policy_of(document, strict=False)
        except UsageError as error:
            wrong.append(error.args[0])
            rows.append({"name": document.name, "error": error.args[0], "who": []})
            continue
        found = who(policy)
        rows.append({"name": document.name, "error": None, "who": [trust.who_row(each) for each in found]})
        if not app().json:
            write(
                [
                    *([""] if len(rows) > 1 else []),
                    *admitted(document.name, found, explain=explain, policy=policy),
                ]
            )
    _finish("trust.who", rows, wrong)


@command.command("diff")
@FILES
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False),
    help="The file as it was: then FILE is the new one.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["wider", "changed"]),
    help="Exit 3 when it is wider, incomparable or undecided; or when it is not equivalent.",
)
@click.option(
    "--level",
    type=click.Choice(["language", "feasible"]),
    default="language",
    show_default=True,
    help="Which verdict --fail-on looks at: of the texts, or of what a real caller can present.",
)
@_reading
@answering
def diff(
    paths: tuple[str, ...],
    base: str | None,
    fail_on: str | None,
    level: str,
    sets: tuple[str, ...],
    explain: bool,
    batch: bool,
) -> int:
    """Say what the second file admits against the first: equivalent, narrower, wider, incomparable or undecided.

    A Terraform plan alone is compared with what it replaces. In files of many roles each is compared with its namesake.
    """
    from auditor.cli import _trust as trust
    from auditor.cli._text import write
    from auditor.cli._trust_text import compared
    from auditor.policy.compare import compare

    if batch:
        trust.batch(paths, _diff_row)
        return 0
    rows: list[dict[str, Any]] = []
    wrong: list[str] = []
    verdicts: list[str] = []
    for old, new, name in trust.pairs((base, *paths) if base else paths, trust.given(sets, None)):
        try:
            a, b = trust.or_nobody(old), trust.or_nobody(new)
        except UsageError as error:
            wrong.append(error.args[0])
            rows.append({"name": name, "error": error.args[0]})
            continue
        language, feasible = compare(a, b), compare(a, b, level="feasible")
        language = trust.recognisable(feasible if feasible.verdict == language.verdict else language, a, b)
        verdicts.append(feasible.verdict if level == "feasible" else language.verdict)
        rows.append({"name": name, "error": None} | trust.comparison_row(language, feasible))
        if not app().json:
            said = compared(
                (trust.title(old, "before"), a),
                (trust.title(new, "after"), b),
                language,
                feasible,
                explain=explain,
            )
            write([*([""] if len(rows) > 1 else []), *said])
    _finish("trust.diff", rows, wrong)
    fine = ("equivalent",) if fail_on == "changed" else ("equivalent", "narrower")
    return FAILING if fail_on and any(each not in fine for each in verdicts) else 0


def _diff_row(asked: Mapping[str, Any]) -> dict[str, Any]:
    from auditor.cli import _trust as trust
    from auditor.policy.compare import compare

    a, b = trust.policy_in(asked, "a"), trust.policy_in(asked, "b")
    return trust.comparison_row(compare(a, b), compare(a, b, level="feasible"))


@command.command("evaluate")
@click.argument(
    "paths", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="POLICY REQUEST"
)
@click.option("--batch", is_flag=True, help="JSON lines in, JSON lines out; an error is a row.")
@answering
def evaluate(paths: tuple[str, ...], batch: bool) -> None:
    """Say whether a policy admits one request, and which statement decides. REQUEST is a JSON file."""
    from auditor.cli import _trust as trust

    if batch:
        trust.batch(paths, _evaluated_row)
        return
    if len(paths) != 2:
        raise UsageError(
            "a policy and a request are needed", remedy="auditor trust evaluate POLICY.json REQUEST.json"
        )
    documents = [each for each in trust.all_documents(paths[:1], {}) if each.side != "before"]
    if len(documents) != 1:
        raise UsageError(f"{paths[0]} holds {len(documents)} roles; one is judged")
    import json

    from auditor.policy.evaluate import allowed
    from auditor.policy.model import Request
    from auditor.policy.words import sentence

    policy = trust.policy_of(documents[0], strict=False)
    try:
        request = Request.of(json.loads(trust.text_of(paths[1])))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{paths[1]}: {error}") from None
    found = allowed(policy, request)
    if app().json:
        from auditor.cli._answer import envelope

        row = {"name": documents[0].name, "allowed": found.allowed, "because": found.because}
        envelope(
            "trust.evaluate", [row | {"statements": list(found.statements), "request": request.as_dict()}]
        )
        return
    from auditor.cli._text import wrapped, write
    from auditor.cli._trust_text import verdict

    line = verdict("✓ allowed" if found.allowed else "✗ refused")
    may = "may" if found.allowed else "may not"
    write([line, *wrapped(f"{sentence(request, may=may)}: {found.because}.", indent="  ")])


def _evaluated_row(asked: Mapping[str, Any]) -> dict[str, Any]:
    import json

    from auditor.cli import _trust as trust
    from auditor.policy.evaluate import allowed
    from auditor.policy.model import Request

    policy = trust.policy_in(asked, "policy", strict=False)
    told = asked.get("request")
    try:
        found = allowed(policy, Request.of(json.loads(told) if isinstance(told, str) else told or {}))
    except ValueError as error:
        raise UsageError(f"request: {error}") from None
    return {"allowed": found.allowed, "because": found.because}
