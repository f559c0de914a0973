"""The command line: parse, call one function, print.

A command is a module named as it is typed; its first line is its help. Nothing heavy is imported before it runs.
Modules that begin with an underscore are shared by the commands.
"""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from auditor.cli._root import cli

    try:
        cli(prog_name="auditor")
    finally:
        gc.freeze()  # a process that ends need not look through all it holds: after a scan that took most of a second
