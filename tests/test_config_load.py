"""config.toml: every mistake at once, with its line and a hint; and what is right, as it was written."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, Field, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import config_engine, config_sections, config_service
from auditor.alerts import routes
from auditor.config import Config, load, secret
from auditor.config_alerts import Outgoing
from auditor.config_lines import lines_of
from auditor.config_read import duration
from auditor.errors import ConfigError
from auditor.sources import NAMES

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Hook:
    """A channel."""

    url: str = ""
    secret: str = ""
    timeout_s: int = 20
    ratio: float = 0.5
    events: tuple[str, ...] = ("opened",)


@dataclass(frozen=True, slots=True)
class Cloud:
    """A source."""

    workers: int = 4


SECTIONS: dict[str, type] = {"sources.cloud": Cloud, "alerts.hook": Hook}
WRONG = """\
organistion = "Acme"
[limits]
workers = "many"
connect_timeout_s = 1.5
[aws]
regions = ["eu-west-1"]
[[aws.accounts]]
id = 111111111111
[[aws.accounts]]
id = "22222222222"
role_arn = "role/x"
[[scope.exclude]]
kind = "buket"
match = "[a"
reason = "r"
[scan]
schedule = "7 days"
lookback = 30
[zones]
order = ["phi", "soc3"]
[zones.phi]
policy_ref = "P"
capture = "12 h"
[zones.soc2]
policy_ref = ""
approved_by = "x"
copy_to = [
  { account = "1", region = "eu-west-1" },
]
[exports.claims]
bucket = "b"
prefix = "run=1"
[subjects]
"sa@p" = 1042
[sources.clod]
[sources.cloud]
workers = true
[alerts.hook]
secret = "hunter2"
timeout_s = -1
[signing]
key = "-----BEGIN PRIVATE KEY-----"
"""


def read(folder: Path, text: str, sections: dict[str, type] | None = None) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, SECTIONS if sections is None else sections)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_every_mistake_is_told_at_once_with_line_key_and_hint(tmp_path: Path) -> None:
    told = mistakes(tmp_path, WRONG)
    for expected in (
        "config.toml:1: organistion: unknown key; did you mean 'organisation'?",
        "config.toml:3: limits.workers: must be a whole number, not text",
        "config.toml:4: limits.connect_timeout_s: must be a whole number, not a number",
        "config.toml:8: aws.accounts[0].id: 111111111111 is not an account id: 12 digits, in quotes",
        "config.toml:10: aws.accounts[1].id: '22222222222' is not an account id: 12 digits, in quotes",
        "config.toml:12: scope.exclude[0]: 'approved_by' is missing",
        "config.toml:14: scope.exclude[0].match: '[a' is not a glob: '[' is not closed",
        'config.toml:17: scan.schedule: \'7 days\' is not a duration such as "26h", "35d" or "90m"',
        "config.toml:20: zones.order[1]: 'soc3' is no zone; did you mean 'soc2'?",
        "config.toml:21: zones.phi: 'approved_by' is missing",
        "config.toml:25: zones.soc2.policy_ref: must not be empty",
        "config.toml:28: zones.soc2.copy_to[0].account: '1' is not an account id: 12 digits, in quotes",
        "config.toml:32: exports.claims.prefix: 'run=1' must end in / (else run=1 would match run=17)",
        "config.toml:34: subjects.sa@p: must be the numeric unique id, in quotes",
        "config.toml:35: sources.clod: unknown key; did you mean 'cloud'?",
        "config.toml:37: sources.cloud.workers: must be a whole number, not true or false",
        'config.toml:39: alerts.hook.secret: a secret never stands in the file: write "env:NAME" or "file:PATH"',
        "config.toml:40: alerts.hook.timeout_s: must not be negative, and is -1",
    ):
        assert expected in told
    assert any(line.startswith("config.toml:42: signing.key: a secret never stands") for line in told)
    assert "hunter2" not in "\n".join(told)
    assert told == sorted(told, key=lambda line: int(line.split(":")[1]))


def test_bracket_that_is_never_closed_is_the_one_mistake_with_its_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path, 'organisation = "a"\n[aws]\nregions = ["x",\n[gcp]\n') == [
        "config.toml:3: syntax: a bracket opened here is not closed (Invalid value, line 4)"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = ", 2), ('a = "x\n', 1), ("[aws\n", 1), ('r = ["[", "]" # ]\n', 1), ("a = 1\na = 2\n", 2)],
)
def test_other_mistakes_of_syntax_have_their_line_too(tmp_path: Path, text: str, line: int) -> None:
    (told,) = mistakes(tmp_path, text)
    assert told.startswith(f"config.toml:{line}: syntax: ")


def test_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="auditor init"):
        load(tmp_path / "none.toml")


def test_names_that_do_not_agree_are_mistakes(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        """\
[[aws.accounts]]
id = "111111111111"
role_arn = "arn:aws:iam::222222222222:role/x"
[[buckets]]
name = "b"
zone = "phi"
[[buckets]]
name = "b"
[gcp]
projects = ["p"]
""",
    )
    assert told == [
        "config.toml:1: aws.accounts[0]: has no regions, and [aws] names none",
        "config.toml:3: aws.accounts[0].role_arn: is a role of another account than 111111111111",
        "config.toml:6: buckets[0].zone: 'phi' is no zone",
        "config.toml:8: buckets[1].name: 'b' is listed twice",
        "config.toml:9: gcp: 'regions' is missing: projects are read region by region",
    ]


def test_empty_file_is_a_configuration_and_every_source_is_on(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert config.sources == {"cloud": Cloud()}
    assert config.alerts == {}
    assert (config.scan.schedule, config.horizons.skew, config.zone_tag) == (604800, 120, "compliance-zone")


def test_source_is_switched_off_and_a_channel_on(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[sources.cloud]\nenabled = false\n[alerts.hook]\nsecret = "env:X"\ntimeout_s = "2m"\nratio = 1\n',
    )
    assert config.sources == {}
    assert config.alerts == {"hook": Hook(secret="env:X", timeout_s=120, ratio=1.0)}


def test_account_has_its_own_regions_or_those_of_aws(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[aws]\nregions = ["a"]\n[[aws.accounts]]\nid = "111111111111"\n'
        '[[aws.accounts]]\nid = "222222222222"\nregions = ["b"]\n[gcp]\nprojects = ["p"]\nregions = ["c"]\n',
    )
    assert [account.regions for account in config.aws.accounts] == [("a",), ("b",)]
    assert [(p["cloud"], p["account"], p["region"]) for p in config.tables()["config_place"]] == [
        ("aws", "111111111111", "a"),
        ("aws", "222222222222", "b"),
        ("gcp", "p", "c"),
    ]


def test_digest_follows_what_is_judged_and_not_how_it_is_written(tmp_path: Path) -> None:
    one = read(tmp_path, '[horizons]\nskew = "2m"\n[aws]\nendpoint = "http://127.0.0.1:1"\n')
    same = read(tmp_path, '# no skew\n[aws]\nendpoint = "http://127.0.0.1:2"\n[state]\ndir = "elsewhere"\n')
    other = read(tmp_path, '[horizons]\nskew = "3m"\n[aws]\nendpoint = "http://127.0.0.1:1"\n')
    production = read(tmp_path, '[horizons]\nskew = "2m"\n')
    assert one.digest == same.digest
    assert len({one.digest, other.digest, production.digest}) == 3


def test_shown_settings_hold_references_and_never_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "hunter2")
    config = read(tmp_path, '[alerts.hook]\nsecret = "env:HOOK"\n')
    shown = {row["key"]: row for row in config.show()}
    assert shown["alerts.hook.secret"] == {"key": "alerts.hook.secret", "value": "env:HOOK", "set": True}
    assert shown["limits.workers"]["set"] is False
    assert "hunter2" not in repr(config.show()) + repr(config)
    assert secret(config.alerts["hook"].secret) == "hunter2"


def test_secret_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("s3cret\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="everybody on this machine"):
        secret(f"file:{path}")
    path.chmod(0o600)
    assert secret(f"file:{path}") == "s3cret"


@pytest.mark.parametrize("reference", ["env:AUDITOR_NOT_SET", "file:/nowhere/at/all", "hunter2", "file:"])
def test_secret_that_cannot_be_resolved_is_named_without_being_shown(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secret(reference)
    assert "hunter2secret" not in str(caught.value)


def example_sections() -> dict[str, type]:
    found = {f"sources.{name}": import_module(f"auditor.sources.{name}").Settings for name in NAMES}
    return found | routes.sections()


def own_fields(name: str, form: type) -> list[Field[Any]]:
    """Return the settings that must stand in the example; those of every route stand once, at the webhook."""
    shared = {each.name for each in fields(routes.Wants)} if name.startswith("alerts.") else set()
    return [each for each in fields(form) if name == "alerts.webhook" or each.name not in shared]


def test_example_loads_without_a_mistake() -> None:
    config = load(ROOT / "config.example.toml", example_sections())
    assert [zone.name for zone in config.zones] == ["phi", "internal"]
    assert set(config.sources) == set(NAMES)


def test_every_setting_stands_in_the_example_with_its_default() -> None:
    raw = tomllib.loads((ROOT / "config.example.toml").read_text())
    places: dict[str, tuple[type, Any]] = {
        name: (form, raw[name])
        for name, form in {
            "state": config_sections.State, "limits": config_sections.Limits, "engine": config_engine.Engine, "aws": config_sections.Aws,
            "gcp": config_sections.Gcp, "scan": config_sections.Scan, "horizons": config_sections.Horizons,
            "report": config_sections.Report, "signing": config_sections.Signing, "alerts": Outgoing,
            "schedule": config_service.Schedule, "service": config_service.Service, "delivery": config_service.Delivery,
        }.items()
    }  # fmt: skip
    places |= {
        name: (form, raw[name][0])
        for name, form in {
            "buckets": config_sections.Bucket, "federation": config_sections.Federation,
            "writers": config_sections.Writer, "duties": config_sections.Duty,
            "automations": config_sections.Automation, "workforce_pools": config_sections.WorkforcePool,
            "providers": config_sections.Provider,
            "approved_jobs": config_sections.ApprovedJob,
        }.items()
    }  # fmt: skip
    places |= {
        "aws.accounts": (config_sections.Account, raw["aws"]["accounts"][0]),
        "scope": (config_sections.ScopeFile, raw["scope"]),
        "scope.exclude": (config_sections.Exclusion, raw["scope"]["exclude"][0]),
        "zones.phi": (config_sections.ZoneFile, raw["zones"]["phi"] | {"rules": {}}),
        "exports.claims": (config_sections.ExportFile, raw["exports"]["claims"]),
        "zones.phi.copy_to": (config_sections.CopyTo, raw["zones"]["phi"]["copy_to"][0]),
    }
    for name, form in example_sections().items():
        kind, _, word = name.partition(".")
        places[name] = (form, raw[kind][word])
        for field in own_fields(name, form):
            default = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
            shown = raw[kind][word].get(field.name)
            if field.type == "Duration":
                shown = duration(shown)
            assert (tuple(shown) if isinstance(shown, list) else shown) == default, f"{name}.{field.name}"
    missing = [
        f"{place}.{field.name}"
        for place, (form, table) in places.items()
        for field in own_fields(place, form)
        if field.name not in table
    ]
    assert missing == []


_KEYS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True), st.sampled_from(["a.b", 'q"', "ü", "#", ""])
)
_VALUES = st.recursive(
    st.one_of(
        st.integers(0, 9), st.booleans(), st.sampled_from(["", "x", "a]b", 'q"#', "l\n[t]\nk = 1", "\\"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[\n" + ", # ] \n".join(map(_toml, value)) + " ]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
    return str(value)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    return found.union(*(_paths(each, (*path, key)) for key, each in inner))


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=4),
    st.lists(st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=3),
)
def test_every_key_of_any_file_has_its_line(table: dict[str, Any], items: list[dict[str, Any]]) -> None:
    lines = [f"{_toml(key)} = {_toml(value)}" for key, value in table.items()]
    for item in items:
        lines.append("[['it em'.list]] # [x]")
        lines += [f"  {_toml(key)} = {_toml(value)}" for key, value in item.items()]
    text = "\n".join(lines)
    value = tomllib.loads(text)
    found = lines_of(text)
    assert found.keys() == _paths(value)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
