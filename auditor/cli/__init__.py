"""The command line: parse, call one function, print.

A command is a module named as it is typed; its first line is its help. Nothing heavy is imported before it runs.
Modules that begin with an underscore are shared by the commands.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from auditor.cli._root import cli

    cli(prog_name="auditor")
