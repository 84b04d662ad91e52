"""`kubelambda events`: the events that wait in the queue of asynchronous invocations."""

import json
import urllib.error
import urllib.request
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.table import Table

from kubelambda.cli.port_forward import ForwardFailed, forwarded

app = typer.Typer(
    no_args_is_help=True,
    help="""Look at the events that wait, have them tried now, or throw them away.

An event is here between its 202 and its end: until its function has taken it, or it is given up and its destination
and dead-letter queue are told. It waits because its function failed (1 and 2 minutes), because the function is
throttled (up to 5 minutes between two attempts), or because a destination does not answer.

The command reaches the queue by `kubectl port-forward`, as you: it needs the right to forward ports to pods in the
namespace of the installation.
""",
    epilog="""Examples: `kubelambda events list -n shop` · `kubelambda events list -n shop --function orders` ·
`kubelambda events redrive -n shop --function orders` ·
`kubelambda events redrive -n shop --function orders --dead-letters`
""",
)
_PORT = 8081
_PODS = ("events-0", "events-jetstream-0", "events-jetstream-1", "events-jetstream-2")
"""The one of a queue in a file, or those that share one in JetStream, of which one leads."""
_NOT_LEADING = 409
_TIMEOUT_S = 120

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the functions; all of them unless given.")
]
Function = Annotated[str | None, typer.Option("--function", "-f", help="Name of a Function; all of them unless given.")]
Json = Annotated[bool, typer.Option("--json", help="Print what the queue answers, for programs.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers of events, as `list` shows them.", show_default=False)
]


class _Installation:
    """Where the queue is: the options before the subcommand."""

    namespace = "kubelambda-system"
    release = "kubelambda"
    context: str | None = None


@app.callback()
def installation(
    system_namespace: Annotated[str, typer.Option(help="Namespace of the installation.")] = "kubelambda-system",
    release: Annotated[str, typer.Option(help="Name of the Helm release.")] = "kubelambda",
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig; the current one unless given.")
    ] = None,
) -> None:
    """Where the installation is."""
    _Installation.namespace, _Installation.release, _Installation.context = system_namespace, release, context


@app.command("list")
def list_events(
    namespace: Namespace = None,
    function: Function = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most that are shown.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only events with higher numbers: the next page.")] = 0,
    as_json: Json = False,
) -> None:
    """Events that wait or run, the oldest first."""
    found = _call("GET", "/events", namespace=namespace, function=function, limit=limit, after=after)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table(box=None)
    for column in ("NUMBER", "FUNCTION", "AGE", "DUE IN", "RAN", "STATE", "REQUEST ID"):
        table.add_column(column, no_wrap=True)
    for event in found:
        name = f"{event['namespace']}/{event['function']}:{event['qualifier']}"
        times = (_seconds(event["ageSeconds"]), _seconds(event["dueInSeconds"]))
        table.add_row(str(event["number"]), name, *times, str(event["invocations"]), _state(event), event["requestId"])
    Console(width=None if Console().is_terminal else 200).print(table)
    if len(found) == limit:
        typer.echo(f"There may be more: --after {found[-1]['number']}")


@app.command()
def functions(namespace: Namespace = None, as_json: Json = False) -> None:
    """How many events wait for each function."""
    found = _call("GET", "/functions", namespace=namespace)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, function, count in found:
        typer.echo(f"{count:>8}  {name}/{function}")
    if not found:
        typer.echo("no events wait", err=True)


@app.command()
def show(numbers: Annotated[list[int], typer.Argument(help="Numbers of events, as `list` shows them.")]) -> None:
    """Everything about events, with what they carry. Exits with 1 where one of them does not wait any more."""
    found = _call("GET", "/events", number=numbers)
    typer.echo(json.dumps(found, indent=2))
    ended = sorted({*numbers} - {event["number"] for event in found})
    if ended:
        typer.echo(f"not there, so ended or never made: {', '.join(map(str, ended))}", err=True)
        raise typer.Exit(1)


@app.command()
def redrive(
    numbers: Numbers = None,
    *,
    namespace: Namespace = None,
    function: Function = None,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Take events back from the function's dead-letter queue instead.")
    ] = False,
    qualifier: Annotated[str, typer.Option(help="With --dead-letters: version or alias to invoke.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="With --dead-letters: the most that come back.")] = 100,
) -> None:
    """Have events tried now, whatever they wait for; or take dead letters back."""
    if dead_letters:
        chosen = {"namespace": namespace, "function": function, "qualifier": qualifier, "limit": limit}
        found = _call("POST", "/redrive-dead-letters", **chosen)
    else:
        found = _call("POST", "/redrive", namespace=namespace, function=function, number=numbers)
    typer.echo(f"{found['redriven']} events are tried again")


@app.command()
def purge(
    numbers: Numbers = None,
    namespace: Namespace = None,
    function: Function = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Throw events away: nobody is told, and nothing brings them back."""
    if not numbers and namespace is None:
        typer.echo("say what to purge: numbers, or --namespace and perhaps --function", err=True)
        raise typer.Exit(2)
    what = f"{len(numbers)} events" if numbers else f"every event of {namespace}/{function or '*'}"
    if not yes:
        typer.confirm(f"Throw away {what}?", abort=True)
    found = _call("DELETE", "/events", namespace=namespace, function=function, number=numbers)
    typer.echo(f"{found['purged']} events are thrown away")


def _call(method: str, path: str, **query: Any) -> Any:
    options = ["--context", _Installation.context] if _Installation.context else []
    text = urlencode({name: value for name, value in query.items() if value not in (None, "")}, doseq=True)
    why = ""
    for pod in _PODS:
        target = f"pod/{_Installation.release}-{pod}"
        try:
            with forwarded(target, _PORT, namespace=_Installation.namespace, kubectl_options=options) as url:
                request = urllib.request.Request(f"{url}{path}?{text}", method=method)  # noqa: S310 - our own address
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                    return json.load(response)
        except urllib.error.HTTPError as error:
            why = json.loads(error.read() or b"{}").get("message", str(error))
            if error.code != _NOT_LEADING:
                break
        except ForwardFailed as error:
            why = why or str(error)
            if "not found" not in str(error):
                break
        except OSError as error:
            why = str(error)
            break
    typer.echo(f"kubelambda: {why}", err=True)
    raise typer.Exit(1)


def _state(event: dict[str, Any]) -> str:
    if "condition" in event:
        return f"{event['condition']}, tells {' and '.join(event['untold'])}"
    if event["functionErrors"]:
        return f"failed {event['functionErrors']} times"
    return f"turned down {event['turnedDown']} times" if event["turnedDown"] else "waits"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.1f}h"
