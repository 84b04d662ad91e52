"""The `kubelambda` command."""

import typer

from kubelambda.cli import crds, events_command, import_command, sign_command

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(crds.app, name="crds")
app.add_typer(events_command.app, name="events")
app.add_typer(import_command.app, name="import")
app.command("sign")(sign_command.sign_archive)


@app.callback()
def callback() -> None:
    """Lambda on any Kubernetes.

    Functions are made with kubectl, GitOps or any AWS client, and invoked with the latter. Here is what is beside that:
    functions that come from somewhere else, events that wait, signatures of code, and our definitions.
    """
