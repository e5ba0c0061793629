"""The commands: parse, call, print. Every error becomes one line and an exit status here, and nowhere else."""

import io
import signal
import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from types import FrameType, MappingProxyType
from typing import Any, NoReturn

import click

from nin_onnx import __version__
from nin_onnx.errors import Interrupted, NinOnnxError, UnofficialDataWarning
from nin_onnx.printable import printable

__all__ = ["COMMANDS", "cli", "command", "main"]

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "train": ("nin_onnx.commands.train:train", "Train a recipe into a run folder."),
        "plot": ("nin_onnx.commands.plot:plot", "Draw runs, beside the paper's Figure 3."),
        "export": ("nin_onnx.commands.export:export", "Export a run as one ONNX file that takes raw pixels."),
        "eval": ("nin_onnx.commands.evaluate:evaluate", "Judge a model on every runtime that is installed."),
        "predict": ("nin_onnx.commands.predict:predict", "Label images, and draw where in them the classes were seen."),
        "show": ("nin_onnx.commands.show:show", "Show a model's card and its layers."),
        "models": ("nin_onnx.commands.models:models", "List the models that ship: error, size, input, license."),
        "recipes": ("nin_onnx.commands.recipes:recipes", "List the recipes: the paper's figure, ours, the cost."),
        "results": ("nin_onnx.commands.results:results", "Print the ledger: the paper's figures, and ours."),
        "reproduce": ("nin_onnx.commands.reproduce:reproduce", "Run what the ledger lacks, unattended."),
        "data": ("nin_onnx.commands.data:data", "Download and check data sets."),
        "doctor": ("nin_onnx.commands.doctor:doctor", "Show which runtimes can run here, and what the others lack."),
    }
)
"""Name -> module:function, which is imported when the command is called, and what the list of commands says of it."""
LONGEST = 2_000
"""Characters of an error: what it quotes of a broken file may have no end."""


def command(name: str) -> click.Command:
    """Import the command `name`, a key of `COMMANDS`, and return it."""
    module, _, function = COMMANDS[name][0].partition(":")
    loaded = getattr(import_module(module), function)
    assert isinstance(loaded, click.Command)
    return loaded


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name of the command that `args` begin with, the command, and the other arguments."""
        name, listed, others = super().resolve_command(ctx, args)
        return name, command(name) if name else listed, others


@click.group(
    cls=LazyGroup,
    commands=[click.Command(name, short_help=line) for name, (_, line) in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="nin-onnx")
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from.")
def cli() -> None:
    """Train Network in Network, export it as one ONNX file, and see that it gives the same answer on every runtime.

    \b
    nin-onnx train digits               a small network, in a minute
    nin-onnx export runs/digits-seed0   one ONNX file, checked
    nin-onnx eval runs/digits-seed0     the verdict

    Exit status: 0 all that was asked for passed; 1 a check failed, or a runtime crashed or timed out; 2 wrong usage, or
    nothing could run; 130 interrupted.
    """


def main() -> None:
    """Run a command, print what goes wrong as one line, and exit with the status that `nin-onnx --help` lists."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file may have a name that its encoding has not
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run())


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Unwind as for any other end, so that processes and temporary folders go too."""
    raise SystemExit(128 + number)


def _run() -> int:
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]  # it is right anywhere: one adds it at the end
    try:
        with warnings.catch_warnings():
            if not debug:  # warnings of other packages say nothing to a user
                warnings.simplefilter("ignore")
            warnings.simplefilter("always", UnofficialDataWarning)
            warnings.showwarning = _show_warning
            return cli.main(arguments, standalone_mode=False, prog_name="nin-onnx") or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        return _fail(f"{error.format_message()}{hint}", 2, debug)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped", Interrupted.exit_status, debug)
    except NinOnnxError as error:
        return _fail(str(error), error.exit_status, debug)
    except OSError as error:  # the disk is full, a folder may not be read, a name is too long
        return _fail(str(error), 2, debug)
    except Exception as error:  # a fault of ours: still one line, and the way to the rest
        return _fail(f"internal error, please report it with the output of --debug: {type(error).__name__}: {error}", 2, debug)


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    line = " ".join(printable(message, " ").split())
    click.echo(f"{click.style('error:', fg='red')} {line if len(line) <= LONGEST else line[:LONGEST] + ' …'}", err=True)
    return status


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {message}", err=True)
