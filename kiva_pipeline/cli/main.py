"""``kiva-pipeline``: the commands, their exit codes, and errors as one clear message.

What must not break: ``--help`` and the commands that only read the ledger import neither dagster
nor pandas, so that they answer at once; and no traceback is shown unless it is asked for, because
an exception of a library may quote a value.
"""

import errno
import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from kiva_pipeline.cli.adopt import adopt
from kiva_pipeline.cli.backup import backup
from kiva_pipeline.cli.demo import demo
from kiva_pipeline.cli.doubts import doubts
from kiva_pipeline.cli.export import export
from kiva_pipeline.cli.held import approve, held
from kiva_pipeline.cli.pause import pause, resume
from kiva_pipeline.cli.plan import plan
from kiva_pipeline.cli.report_month import close, extend
from kiva_pipeline.cli.resolve import resolve
from kiva_pipeline.cli.retry import retry
from kiva_pipeline.cli.run import run
from kiva_pipeline.cli.sandbox import sandbox
from kiva_pipeline.cli.show import plain
from kiva_pipeline.cli.status import status
from kiva_pipeline.cli.trace import trace
from kiva_pipeline.cli.worklist import worklist
from kiva_pipeline.errors import PipelineError

DEBUG_VARIABLE = "KIVA_PIPELINE_DEBUG"
_STOPPED = 130  # as shells report a Ctrl-C

app = typer.Typer(
    name="kiva-pipeline",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(installed_version("kiva-pipeline"))
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar=DEBUG_VARIABLE, help="Show the traceback of an error."),
    ] = False,
) -> None:
    r"""From a microfinance MIS to Kiva: loan drafts, repayment reports and journals.

    \b
    New here?             kiva-pipeline demo
    Going live?           kiva-pipeline adopt --template adoption
    What would be sent?   kiva-pipeline plan 2026-10
    Send it:              kiva-pipeline run 2026-10
    What is to be done?   kiva-pipeline worklist
    Stop at once:         kiva-pipeline pause

    \b
    Exit codes:
      0    done; for `plan`, `run` and `doubts`: and nothing waits for a person
      10   done, but rows wait for a person: see `worklist` and `doubts`
      1    something failed     2  settings or arguments   3  the MIS
      4    Kiva's API           5  the ledger              6  another sender is at work
      7    not allowed now      130  stopped by Ctrl-C
    """
    del debug  # read in `command_line`, which outlives the command


def _as_written(command: Callable[..., None]) -> str:
    r"""A command's docstring with its examples line by line, as click's mark ``\b`` asks."""
    return inspect.cleandoc(command.__doc__ or "").replace("\\b\n", "\b\n")


app.callback(help=_as_written(_root))(_root)
_COMMANDS = (
    demo, adopt, plan, run, status, trace, worklist,
    doubts, resolve, held, approve, retry, close, extend, pause, resume, export, backup,
    sandbox,
)  # fmt: skip


for _command in _COMMANDS:
    _told = _as_written(_command)
    app.command(help=_told, short_help=_told.partition("\n\n")[0])(_command)


def command_line(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; its output is on the standard streams."""
    try:
        app(list(arguments), prog_name="kiva-pipeline")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if code == _STOPPED:
            typer.echo("Stopped. What was sent is in the ledger; run it again to go on.", err=True)
        return code
    except PipelineError as error:
        if _debugging(arguments):
            raise
        typer.echo(f"Error: {error.message}", err=True)
        if error.fix:
            typer.echo(error.fix, err=True)
        return error.exit_code
    except OSError as error:
        if _debugging(arguments) or error.errno == errno.EPIPE:
            raise
        what = plain(str(error.filename)) if error.filename else "A file"
        typer.echo(
            f"Error: {what} can't be read or written ({error.strerror or type(error).__name__}).\n"
            "Check the path, the space on the disk, and who may write there.",
            err=True,
        )
        return 1
    except Exception as error:
        if _debugging(arguments):
            raise
        typer.echo(
            f"Error: something unexpected failed ({type(error).__name__}).\n"
            "`kiva-pipeline --debug …` shows where; it may quote data, so look before you share.",
            err=True,
        )
        return 1
    return 0


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name in another script must not stop a command
            stream.reconfigure(errors="replace")
    sys.exit(command_line(sys.argv[1:]))


def _debugging(arguments: Sequence[str]) -> bool:
    return "--debug" in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in {"", "0", "false"}


if __name__ == "__main__":
    main()
