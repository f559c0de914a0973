"""Write a commented config.toml and a folder for rules of your own."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli._app import app, shared
from auditor.errors import UsageError

_RULES = """\
# Rules of your own

Every `*.yaml` here is loaded beside the rules that ship; frameworks of your own go to `frameworks/`.
A pack is `{pack: NAME, rules: [...]}`. `auditor rules docs` shows every shipped rule as an example of the form;
`auditor rules check` names each mistake at file:line:column, and judges every rule by its own examples.
"""


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@shared
def command(folder: Path) -> None:
    """Write a commented config.toml and a folder for rules of your own.

    Nothing that is there is overwritten.
    """
    from auditor.builtin import builtin

    config, rules = folder / "config.toml", folder / "rules" / "README.md"
    for path in (config, rules):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} is there already",
                remedy="Nothing was written. Remove it first, or name another folder.",
            )
    text = builtin("config.example.toml").read_text(encoding="utf-8")
    rules.parent.mkdir(parents=True, exist_ok=True)
    for path, said in ((config, text), (rules, _RULES)):
        with path.open("x", encoding="utf-8") as file:
            file.write(said)
        click.echo(f"wrote {path}")
    this = app()
    this.tell("Next: put your accounts and projects in config.toml, then")
    for line in ("auditor config check", "auditor permissions", "auditor scan --dry-run", "auditor scan"):
        this.tell(f"  {line}")
