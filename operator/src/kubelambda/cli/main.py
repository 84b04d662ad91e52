"""The `kubelambda` command."""

import typer

from kubelambda.cli import crds

app = typer.Typer(help="Lambda on any Kubernetes.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(crds.app, name="crds")


@app.callback()
def callback() -> None:
    """Lambda on any Kubernetes."""
