"""Findings about GitHub Actions: from a repository of anybody down to the pull requests of one.

The ladder is climbed down: what a wider rung has reported is taken out of the question of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.policy.evaluate import context_of, matches
from auditor.policy.findings_ask import WEB, Inquiry, matching, region, test
from auditor.policy.findings_meaning import Finding
from auditor.policy.keys import is_github
from auditor.policy.model import Principal, Request, Statement, Test

_OWNERS = ("repository_owner_id", "enterprise_id", "actor", "actor_id")
_REPOSITORIES = ("repository_id",)
_RUNS = ("environment", "job_workflow_ref")
_FREE_CLAIMS = (
    "environment",
    "ref",
    "ref_type",
    "workflow",
    "context",
    "event_name",
    "head_ref",
    "base_ref",
    "run_id",
)
"""Claims with which an owner can begin the subjects of its own repositories, and choose the value of."""
_NAMES_AN_OWNER = ("*:repo*:*", "*:enterprise*:*", "*:actor*:*")


def github(q: Inquiry) -> Iterator[Finding]:
    """Ask each GitHub provider that the policy trusts."""
    for principal, provider in q.providers:
        if is_github(provider):
            yield from _Ladder(q, principal, provider).rungs()


class _Ladder:
    """The rungs for one provider, the widest first."""

    def __init__(self, q: Inquiry, principal: Principal, provider: str) -> None:
        self.q, self.principal, self.provider = q, principal, provider
        self.sub = f"{provider}:sub"
        self.owner, self.repository, self.branch = (
            q.fresh(name) for name in ("someone-else", "any-repo", "any-branch")
        )
        self.any_case = tuple(
            value
            for each in q.tests
            if each.key == self.sub and each.base == "StringEqualsIgnoreCase"
            for value in each.values
        )
        self.told: list[str] = []
        """Patterns on the subject that a wider rung has reported."""

    def key(self, claim: str) -> str:
        return f"{self.provider}:{claim}"

    def rungs(self) -> Iterator[Finding]:
        """Climb down; each rung with its own sentence."""
        owners, repositories = self._exact_owners(), self._exact_repositories()
        anybody = (*self._others(_OWNERS), *self._others(_REPOSITORIES), *self._repository(f"{self.owner}/*"))
        yield from self._rung(
            "any-github-repo",
            [[self._like(f"repo:{self.owner}/*"), *anybody], [*self._like_template(), *anybody]],
            lambda _: "A workflow in a repository of any GitHub owner may assume the role.",
        )
        not_owned = (
            (test("StringNotLike", self.sub, *(f"repo:{each}/*" for each in owners)),) if owners else ()
        )
        if owners or self.q.values(self.sub):
            ids = (*self._others(("repository_owner_id", "enterprise_id")), *self._others(_REPOSITORIES))
            yield from self._rung(
                "github-owner-prefix",
                [[self._like("repo:?*/*"), *not_owned, *ids, *self._unlisted_owner(owners)]],
                lambda w: (
                    f"GitHub owners are matched by a pattern: whoever registers {_owner(w)} may assume the role."
                ),
            )
        yield from self._rung(
            "github-org-wide",
            [
                [
                    self._like(*(f"repo:{each}/{self.repository}:*" for each in (*owners, self.owner))),
                    *self._others(_REPOSITORIES),
                    *self._repository(f"*/{self.repository}"),
                ]
            ],
            lambda w: f"Every repository of {self._whose(w)} may assume the role.",
        )
        not_named = tuple(f"repo:{each}{end}" for each in repositories for end in ("", ":*"))
        if not_named:
            yield from self._rung(
                "github-repo-prefix",
                [
                    [
                        self._like("repo:?*/?*"),
                        test("StringNotLike", self.sub, *not_named),
                        *self._others(_REPOSITORIES),
                        *self._unlisted_repository(repositories),
                    ]
                ],
                lambda w: (
                    f"GitHub repositories are matched by a pattern: one named {_repository(w)} may assume the role."
                ),
            )
        elif self.q.values(self.sub):
            yield from self._rung(
                "github-repo-prefix",
                [[self._like("repo:?*/?*"), *self._others(_REPOSITORIES), *self._unlisted_repository(())]],
                lambda w: (
                    f"GitHub repositories are matched by a pattern: one named {_repository(w)} may assume the role."
                ),
            )
        ref = self.key("ref")
        yield from self._rung(
            "github-any-ref",
            [
                [
                    *self._ending(f"ref:refs/{kind}/{self.branch}"),
                    *self._others(_RUNS),
                    *(
                        (test("StringEqualsIfExists", ref, f"refs/{kind}/{self.branch}"),)
                        if ref in self.q.keys
                        else ()
                    ),
                ]
                for kind in ("heads", "tags")
            ],
            lambda w: (
                f"Every branch or tag of {_repository(w)} may assume the role, so anyone who can push to it."
            ),
        )
        yield from self._rung(
            "github-pull-request",
            [
                [
                    *self._ending("pull_request"),
                    *self._others(_RUNS),
                    *((test("StringLikeIfExists", ref, "refs/pull/*"),) if ref in self.q.keys else ()),
                ]
            ],
            lambda w: (
                f"A workflow run of a pull request to {_repository(w)} may assume the role, before any review."
            ),
        )

    def _rung(self, name: str, asked: Sequence[Sequence[Test]], because: object) -> Iterator[Finding]:
        """Ask one rung beside what was reported; report it once, and take all that it reports out of the next."""
        assert callable(because)
        first = True
        for _ in range(8):
            out = [test("StringNotLike", self.sub, *self.told)] if self.told else []
            if self.any_case:  # the names of owners and repositories differ by more than case
                out.append(test("StringNotEqualsIgnoreCase", self.sub, *self.any_case))
            regions: list[Statement] = [
                region(
                    test("Null", self.sub, "false"), *tests, *out, principals=(self.principal,), actions=WEB
                )
                for tests in asked
            ]
            witness = self.q.admits(*regions)
            if witness is None:
                return
            held = matching(self._patterns(), str(witness.ctx.get(self.sub)))
            if first:
                witness = self.q.plainer(witness, self.sub, self._plain(held), regions)
                yield self.q.proven(name, because(witness), witness)
                first = False
            self.told += held or ("*",)
            self.told += [
                each for each in self._patterns() if each not in self.told and self._within(each, regions)
            ]

    def _plain(self, patterns: Sequence[str]) -> Iterator[str]:
        """Yield subjects such as GitHub writes them, for a witness that people recognise."""
        runs = [
            "ref:refs/heads/main",
            f"ref:refs/heads/{self.branch}",
            f"ref:refs/tags/{self.branch}",
            "pull_request",
        ]
        names = [f"{self.owner}/{self.repository}"]
        for pattern in patterns:
            name, _, run = pattern.removeprefix("repo:").partition(":")
            owner, slash, repository = name.partition("/")
            if "*" in owner:
                owner = owner.replace("*", "-evil" if owner != "*" else self.owner)
            names += [f"{owner}/{self.repository}"]
            names += [f"{owner}/{repository.replace('-*', '-evil').replace('*', '-evil')}"] if slash else []
            runs.append(run.replace("*", "main"))
        for name in names:
            for run in runs:
                yield f"repo:{name}:{run}"

    def _within(self, pattern: str, regions: Sequence[Statement]) -> bool:
        """Say whether a subject of this pattern lies within what a rung asked, so that it is reported by it too."""
        for value in self._plain((pattern,)):
            request = Request("oidc", self.principal.value, None, WEB[0], {self.sub: value})
            if matching((pattern,), value) and any(
                matches(one, request, context_of(request)) for one in regions
            ):
                return True
        return False

    def _patterns(self) -> tuple[str, ...]:
        return tuple(value for value in self.q.values(self.sub) if "${" not in value)

    def _like(self, *patterns: str) -> Test:
        return test("StringLike", self.sub, *patterns)

    def _ending(self, end: str) -> tuple[Test, ...]:
        """Return the tests of a subject that is a repository and this end, with nothing between."""
        return self._like(f"repo:?*/?*:{end}"), test("StringNotLike", self.sub, f"repo:*:*:{end}")

    def _like_template(self) -> tuple[Test, ...]:
        """Return the tests of a subject that its owner made out of claims which say nothing of the owner."""
        return (
            test("StringLike", self.sub, *(f"{claim}:?*" for claim in _FREE_CLAIMS)),
            test("StringNotLike", self.sub, *_NAMES_AN_OWNER),
        )

    def _others(self, claims: Sequence[str]) -> tuple[Test, ...]:
        """Return the tests by which these claims are absent or name nobody that the policy names."""
        return tuple(each for claim in claims for each in self.q.other(self.key(claim), "anything"))

    def _repository(self, pattern: str) -> tuple[Test, ...]:
        key = self.key("repository")
        return (test("StringLikeIfExists", key, pattern),) if key in self.q.keys else ()

    def _unlisted_owner(self, owners: Sequence[str]) -> tuple[Test, ...]:
        key = self.key("repository")
        if key not in self.q.keys:
            return ()
        listed = [value for value in self.q.exact(key) if "/" in value] + [f"{each}/*" for each in owners]
        return (test("StringNotLike", key, *listed),) if listed else ()

    def _unlisted_repository(self, repositories: Sequence[str]) -> tuple[Test, ...]:
        key = self.key("repository")
        listed = [*self.q.exact(key), *repositories]
        return (test("StringNotLike", key, *listed),) if key in self.q.keys and listed else ()

    def _whose(self, witness: Request) -> str:
        owner = _owner(witness)
        return (
            f"the GitHub owner {owner}"
            if owner in self._exact_owners()
            else "one GitHub owner (its id is tested)"
        )

    def _which(self, witness: Request) -> str:
        name = _repository(witness)
        return name if name in self._exact_repositories() else "one GitHub repository (its id is tested)"

    def _exact_owners(self) -> tuple[str, ...]:
        """Return the owners that a pattern on the subject or the repository names in full."""
        heads = [
            value.removeprefix("repo:").split("/")[0]
            for value in self._patterns()
            if value.startswith("repo:") and "/" in value
        ]
        heads += [value.split("/")[0] for value in self.q.values(self.key("repository")) if "/" in value]
        return tuple(dict.fromkeys(each for each in heads if each and not {"*", "?"} & set(each)))

    def _exact_repositories(self) -> tuple[str, ...]:
        """Return the repositories that a pattern names in full, as owner/name."""
        heads = [
            value.removeprefix("repo:").split(":")[0]
            for value in self._patterns()
            if value.startswith("repo:") and (":" in value[5:] or not {"*", "?"} & set(value))
        ]
        heads += list(self.q.exact(self.key("repository")))
        return tuple(dict.fromkeys(each for each in heads if "/" in each and not {"*", "?"} & set(each)))


def _repository(witness: Request) -> str:
    """Return owner/name out of a witness's subject."""
    subject = next((str(value) for key, value in witness.ctx.items() if key.endswith(":sub")), "")
    return subject.removeprefix("repo:").split(":")[0]


def _owner(witness: Request) -> str:
    return _repository(witness).split("/")[0]
