"""Routes as the configuration says them: every mistake at its line, and who hears of what."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.alerts import routes
from auditor.alerts.channels.webhook import Settings
from auditor.alerts.routes import Route
from auditor.config import Config, load
from auditor.errors import ConfigError

ZONES = """\
[zones]
order = ["phi"]
[zones.phi]
policy_ref = "P"
approved_by = "a@example.com"
"""
WRONG = (
    ZONES
    + """\
[alerts]
allow = ["10.1.2.3/8", "hooks.internal.example", "https://x/", "0.0.0.0/0", "10.9.9.9", "*.example.com"]
proxy = "https://user:hunter2@proxy:3128"
alow = []
[alerts.webhok]
url = "https://a.example.com/"
[alerts.oncall]
channel = "webhok"
[alerts.audit]
channel = "webhook"
url = "https://10.0.0.256/"
secret = "hunter2"
severity = "hihg"
events = ["opened", "opend"]
zones = ["phi", "pci"]
controls = ["[soc2"]
fallback = "oncal"
[alerts.webhook]
url = "http://b.example.com/hunter2"
timeout_s = 0
fallback = "webhook"
"""
)


def read(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, routes.sections())


def test_every_mistake_of_a_route_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, WRONG)
    told = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    for beginning, said in (
        ("allow", "alerts.allow[0]: '10.1.2.3/8' is an address within a network: write 10.0.0.0/8"),
        (
            "allow",
            "alerts.allow[2]: 'https://x/' is neither a network (10.1.2.3/32) nor a name (hooks.internal.example)",
        ),
        ("allow", "alerts.allow[3]: '0.0.0.0/0' is every address there is: name the receivers"),
        (
            "allow",
            "alerts.allow[5]: '*.example.com' is neither a network (10.1.2.3/32) nor a name (hooks.internal.example)",
        ),
        ("proxy", "alerts.proxy: is not http://HOST:PORT, without a name or a password"),
        ("alow", "alerts.alow: unknown key; did you mean 'allow'?; a route is a table"),
        (
            'secret = "hunter2"',
            'alerts.audit.secret: a secret never stands in the file: write "env:NAME" or "file:PATH"',
        ),
        (
            "severity",
            "alerts.audit.severity: 'hihg' is none of 'critical', 'high', 'medium', 'low'; did you mean 'high'?",
        ),
        ("controls", "alerts.audit.controls[0]: '[soc2' is not a glob: '[' is not closed"),
        ("timeout_s", "alerts.webhook.timeout_s: must be between 1 and 120"),
        ('fallback = "webhook"', "alerts.webhook.fallback: falls back on itself"),
        (
            'url = "http://b',
            "alerts.webhook.url: an address is https://host/path, and nothing is sent without TLS",
        ),
        ("[alerts.webhook]", "alerts.webhook.secret: is missing: messages are signed"),
    ):
        line = next(n for n, text in enumerate(WRONG.splitlines(), 1) if text.startswith(beginning))
        assert f"config.toml:{line}: {said}" in told
    assert any("alerts.audit.events[1]: 'opend' is none of" in line and "'opened'?" in line for line in told)
    assert any("alerts.webhok: unknown key; did you mean 'webhook'?" in line for line in told)
    assert any("alerts.oncall.channel: 'webhok' is no channel; did you mean" in line for line in told)
    assert told == sorted(told, key=lambda line: int(line.split(":")[1]))
    assert "hunter2" not in "\n".join(line for line in told)


def test_what_a_route_names_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        ZONES
        + '[alerts.webhook]\nzones = ["phi", "phy"]\nfallback = "oncal"\n[alerts.oncall]\nchannel = "webhook"\n'
    )
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "config.toml:7: alerts.webhook.zones[1]: 'phy' is no zone; did you mean 'phi'?",
        "config.toml:8: alerts.webhook.fallback: falls back on 'oncal', which is no route; did you mean 'oncall'?",
    ]


def test_a_channel_may_serve_several_routes(tmp_path: Path) -> None:
    text = ZONES + (
        '[alerts]\nallow = ["10.1.2.0/24"]\n'
        '[alerts.webhook]\nurl = "https://a.example.com/"\nsecret = "env:A"\n'
        '[alerts.phi]\nchannel = "webhook"\nzones = ["phi"]\nfallback = "webhook"\n'
        '[alerts.off]\nchannel = "webhook"\nenabled = false\n'
    )
    config = read(tmp_path, text)
    assert config.outgoing.allow == ("10.1.2.0/24",)
    assert sorted(config.alerts) == ["phi", "webhook"]
    assert [name for name, each in config.alerts.items() if each.on] == ["webhook"]
    assert config.alerts["phi"].route("phi").zones == ("phi",)


def test_a_control_that_no_rule_supports_is_told_with_its_line(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from auditor.cli._channels import check_controls

    text = '[alerts.webhook]\ncontrols = ["soc2/*", "socks/*"]\n'
    config = read(tmp_path, text)
    pack = SimpleNamespace(rules=[SimpleNamespace(controls=("soc2/A1.2",))])
    with pytest.raises(
        ConfigError, match=r"config.toml:2: alerts.webhook.controls\[1\]: 'socks/\*' fits no control"
    ):
        check_controls(config, pack)  # type: ignore[arg-type]


def test_what_alerts_may_reach_is_shown_where_it_stands(tmp_path: Path) -> None:
    shown = {row["key"]: row for row in read(tmp_path, '[alerts]\nallow = ["10.0.0.1/32"]\n').show()}
    assert shown["alerts.allow"] == {"key": "alerts.allow", "value": ["10.0.0.1/32"], "set": True}
    assert shown["alerts.proxy"]["set"] is False


def test_no_password_of_a_proxy_is_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[alerts]\nproxy = "http://user:hunter2@proxy:3128"\n')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("wants", "zone", "controls", "owner", "heard"),
    [
        ({}, "phi", ("soc2/A1.2",), "a@example.com", True),
        ({"zones": ("phi",)}, "internal", (), None, False),
        ({"zones": ("phi",)}, None, (), None, True),
        ({"controls": ("soc2/*",)}, None, ("hipaa/1", "soc2/A1.2"), None, True),
        ({"controls": ("soc2/*",)}, None, ("hipaa/1",), None, False),
        ({"controls": ("soc2/*",)}, None, (), None, True),
        ({"owners": ("*@data.example",)}, None, (), "a@data.example", True),
        ({"owners": ("*@data.example",)}, None, (), "a@other.example", False),
        ({"owners": ("*@data.example",), "zones": ("phi",)}, "phi", (), None, True),
    ],
)
def test_a_route_leaves_out_only_what_is_known_to_be_anothers(
    wants: dict[str, tuple[str, ...]],
    zone: str | None,
    controls: tuple[str, ...],
    owner: str | None,
    heard: bool,
) -> None:
    assert Route("r", **wants).concerns(zone, controls, owner) is heard  # type: ignore[arg-type]


def test_settings_say_what_their_route_wants() -> None:
    settings = Settings(
        severity="high", events=("opened",), zones=("phi",), controls=("soc2/*",), owners=("a",)
    )
    assert settings.route("x") == Route("x", "high", ("opened",), ("phi",), ("soc2/*",), ("a",))
