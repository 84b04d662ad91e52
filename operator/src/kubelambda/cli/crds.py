"""`kubelambda crds`: writes the CustomResourceDefinitions, checks the written ones, or applies them to a cluster."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import yaml

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CUSTOM_RESOURCE_DEFINITIONS
from kubelambda.resources.definitions.catalog import definitions

app = typer.Typer(help="CustomResourceDefinitions, generated from the models.", no_args_is_help=True)

FOLDERS = (Path("crds"), Path("charts/kubelambda/crds"))
HEADER = "# Generated from the pydantic models by `make crds`; do not edit.\n"


def rendered() -> dict[str, str]:
    """Text of every definition by file name."""
    return {
        f"{found['metadata']['name']}.yaml": HEADER + yaml.safe_dump(found, sort_keys=False, width=120)
        for found in definitions()
    }


@app.command()
def write() -> None:
    """Write the definitions to crds/ and to the chart's copy."""
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in rendered().items():
            (folder / name).write_text(text)
            typer.echo(f"wrote {folder / name}")


@app.command()
def check() -> None:
    """Fail when a written definition is not what the models generate."""
    expected = rendered()
    stale = [
        str(folder / name)
        for folder in FOLDERS
        for name, text in expected.items()
        if not (folder / name).is_file() or (folder / name).read_text() != text
    ]
    extra = [str(path) for folder in FOLDERS for path in folder.glob("*.yaml") if path.name not in expected]
    if stale or extra:
        typer.echo(f"stale: {', '.join(stale + extra)}\nrun: make crds", err=True)
        raise typer.Exit(1)
    typer.echo("crds: current")


@app.command()
def apply(
    kubeconfig: Annotated[str | None, typer.Option(help="Kubeconfig; the pod's service account if none.")] = None,
) -> None:
    """Bring the definitions in a cluster up to date; never deletes one."""
    asyncio.run(_apply(kubeconfig))


async def _apply(kubeconfig: str | None) -> None:
    client = await KubeClient.connect(kubeconfig)
    try:
        for definition in definitions():
            await client.apply(CUSTOM_RESOURCE_DEFINITIONS, definition, manager="kubelambda-crds")
            typer.echo(f"applied {definition['metadata']['name']}")
    finally:
        await client.close()
