"""`nin-onnx doctor`: what can run here, and what would help where it cannot."""

from dataclasses import asdict

import click

from nin_onnx.commands.options import json_option, print_json
from nin_onnx.printable import printable

__all__ = ["PACKAGES", "doctor"]

PACKAGES = ("onnxruntime-node", "onnxruntime-web")
"""Those of `nin_onnx.runtimes.backends.npm`, whose import takes NumPy."""


@click.command()
@click.argument("model", required=False)
@click.option(
    "--install",
    "packages",
    multiple=True,
    type=click.Choice(PACKAGES),
    help="Install this npm package into a cache folder first, without its scripts; may be repeated. Nothing else is installed.",
)
@json_option
def doctor(model: str | None, packages: tuple[str, ...], as_json: bool) -> None:
    """Show for every runtime whether it runs on this machine, in which version, and the command that helps if it does not.

    Each loads a small model that ships, in a process of its own: what is installed may still not start. With MODEL, an ONNX
    file, a folder or a shipped name as for `nin-onnx eval`, it is that: an IR version or an opset that is too new shows,
    and of one in 8 bits whether its products could saturate, and whether they do on its golden vectors or on made inputs.
    """
    from nin_onnx import models
    from nin_onnx.machine import in_words
    from nin_onnx.runtimes.backends import npm
    from nin_onnx.runtimes.diagnosis import diagnose
    from nin_onnx.runtimes.explanations.saturation import saturation_alone
    from nin_onnx.runtimes.read_model import read_model

    for package in packages:
        npm.install(package)
    path = models.find(model) if model else None
    file = read_model(path) if path else None
    found = diagnose(file)
    saturation = saturation_alone(file) if file else None
    if as_json:
        print_json({**asdict(found), "saturation": asdict(saturation) if saturation else None})
        return
    width = max(len(one.runtime) for one in found.runtimes)
    for one in found.runtimes:
        state = click.style(f"{'usable' if one.usable else 'unusable':<8}", fg="green" if one.usable else "yellow", bold=True)
        reason = f"{one.reason}: {one.install}" if one.install else one.reason
        click.echo(f"{one.runtime:<{width}}  {state}  {(one.version or 'version unknown') if one.usable else reason}")
    click.echo()
    click.echo(f"{'processor':<{width}}  {found.processor}: {in_words(found.features)}")
    click.echo(f"{'NVIDIA driver':<{width}}  {found.driver or 'none'}")
    if found.providers:
        click.echo(f"{'providers':<{width}}  {', '.join(found.providers)}")
    for finding in saturation.lines() if saturation else ():
        click.echo(printable(f"{'8 bits':<{width}}  {finding}"))
    for clash in found.clashes:
        click.echo(f"{'clash':<{width}}  {click.style(clash, fg='red')}")
