"""`kubelambda import`: manifests of the functions that an AWS account or a SAM template has."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.cli.imported_manifests import (
    CodeAddress,
    CodeTooLarge,
    Imported,
    event_invoke_config,
    function_spec,
    function_url,
    imported_layer,
    mapping_name,
    mapping_spec,
    permissions,
)
from kubelambda.cli.lambda_reader import LambdaApiFailed, LambdaReader
from kubelambda.cli.sam_template import SamTemplate, TemplateFunction, TemplateUnreadable
from kubelambda.core.account.request_signing import ClientKey
from kubelambda.core.code.layer_reference import layer_object_name
from kubelambda.core.function.object_name import object_names

app = typer.Typer(help="Manifests of functions that are somewhere else.", no_args_is_help=True)

Output = Annotated[Path, typer.Option(help="Folder for the manifests, a file for each function.")]
CodeUrl = Annotated[
    str | None,
    typer.Option(help="Address below which you publish the archives, which are written beside the manifests."),
]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where manifests and archives go."""

    folder: Path
    address: CodeAddress

    def code(self, name: str, archive: bytes) -> dict[str, str]:
        """`spec.code` of an archive, which is kept beside the manifest where that does not carry it."""
        content = self.address.content(name, archive)
        if "url" in content:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{name}.zip").write_bytes(archive)
        return content

    def write(self, name: str, found: Imported) -> None:
        """One file of manifests, and what could not be taken over on standard error."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(found.manifests, sort_keys=False, width=120))
        typer.echo(f"wrote {path}")
        for note in found.notes:
            typer.echo(note, err=True)


@app.command()
def account(
    output: Output,
    region: Annotated[str, typer.Option(envvar="AWS_REGION", help="Region of the account.")] = "us-east-1",
    endpoint_url: Annotated[
        str | None, typer.Option(envvar="AWS_ENDPOINT_URL_LAMBDA", help="Lambda's address, where it is not AWS's own.")
    ] = None,
    function: Annotated[list[str] | None, typer.Option(help="Only these functions.")] = None,
    code_url: CodeUrl = None,
) -> None:
    """Functions of an account, with what belongs to each: aliases, mappings, layers, policy and concurrency.

    Credentials are those of the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
    """
    key = ClientKey(
        os.environ.get("AWS_ACCESS_KEY_ID", "anonymous"),
        os.environ.get("AWS_SECRET_ACCESS_KEY", "anonymous"),
        os.environ.get("AWS_SESSION_TOKEN"),
    )
    reader = LambdaReader(endpoint_url or f"https://lambda.{region}.amazonaws.com", region, key)
    target, layers = _Target(output, CodeAddress(code_url)), set[str]()
    try:
        for name in function or reader.functions():
            found = Imported()
            layers |= _read_function(reader, name, target, found)
            target.write(object_names(name)[0], found)
        for arn in sorted(layers):
            found = Imported()
            _read_layer(reader, arn, target, found)
            target.write(f"layer-{imported_layer(arn)}", found)
    except (LambdaApiFailed, CodeTooLarge) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _read_function(reader: LambdaReader, name: str, target: _Target, found: Imported) -> set[str]:
    """Adds a function and what belongs to it; returns the ARNs of its layers."""
    answer = reader.function(name)
    configuration, object_name = answer["Configuration"], object_names(name)[0]
    image = answer["Code"].get("ImageUri")
    code: dict[str, str] = {"imageUri": image}
    if not image:
        code = target.code(object_name, reader.download(answer["Code"]["Location"]))
    spec = function_spec(configuration, code, found)
    extras: dict[str, Any] = {
        "tags": answer.get("Tags"),
        "reservedConcurrentExecutions": (answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions"),
        "permissions": permissions(reader.policy(name)),
        "eventInvokeConfig": event_invoke_config(reader.event_invoke_config(name) or {}),
        "url": function_url(reader.url_config(name), f"Function {name}", found),
    }
    spec |= {field: value for field, value in extras.items() if value not in (None, {}, [])}
    signing = reader.code_signing_config(name)
    if signing is not None:
        text = "the code must be signed again for it (docs/code-signing.md)"
        found.notes.append(f"Function {name}: its code signing configuration was left out, {text}: {signing}")
    aliases = reader.aliases(name)
    if aliases:
        spec["publish"] = True
    found.add("Function", object_name, spec)
    for alias in aliases:
        _add_alias(reader, alias, configuration, found)
    model = ServiceModel.load("lambda")
    qualified = [name, *(f"{name}:{alias['Name']}" for alias in aliases)]
    mappings = {each["UUID"]: each for function in qualified for each in reader.mappings(function)}
    for mapping in mappings.values():
        found.add("EventSourceMapping", mapping_name(mapping), mapping_spec(model, mapping, found))
    return {each["Arn"] for each in configuration.get("Layers", ())}


def _add_alias(reader: LambdaReader, alias: dict[str, Any], configuration: dict[str, Any], found: Imported) -> None:
    """An alias of the code that `$LATEST` has; older versions have no place in a manifest."""
    function, name = configuration["FunctionName"], alias["Name"]
    object_name = object_names(function)[0]
    if alias.get("CodeSha256") != configuration["CodeSha256"]:
        found.notes.append(
            f"alias {alias['Name']} of {configuration['FunctionName']} leads to version {alias['FunctionVersion']}, "
            "whose code is not that of $LATEST: it was left out"
        )
        return
    if alias.get("RoutingConfig"):
        found.notes.append(f"alias {alias['Name']}: its weights were left out")
    provisioned = reader.provisioned(function, name)
    extras = {
        "description": alias.get("Description") or None,
        "provisionedConcurrency": provisioned and {"provisionedConcurrentExecutions": provisioned},
        "url": function_url(reader.url_config(function, name), f"Alias {name} of {function}", found),
    }
    spec = {"functionName": object_name, "name": name, "codeSha256": alias["CodeSha256"]}
    spec |= {field: value for field, value in extras.items() if value}
    found.add("Alias", object_names(f"{object_name}-{name}")[0], spec)


def _read_layer(reader: LambdaReader, arn: str, target: _Target, found: Imported) -> None:
    version = reader.layer(arn)
    name = imported_layer(arn)
    content = target.code(name, reader.download(version["Content"]["Location"]))
    spec = {
        "description": version.get("Description") or None,
        "licenseInfo": version.get("LicenseInfo"),
        "compatibleRuntimes": version.get("CompatibleRuntimes") or None,
        "compatibleArchitectures": version.get("CompatibleArchitectures") or None,
        "content": content,
    }
    found.add("Layer", name, {field: value for field, value in spec.items() if value is not None})


@app.command()
def sam(
    template: Annotated[Path, typer.Argument(help="The template, as `sam build` or you wrote it.")],
    output: Output,
    parameter: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: a parameter, or what only a deployment knows (Queue.Arn=…)."),
    ] = None,
    code_url: CodeUrl = None,
) -> None:
    """Functions and layers of a SAM or CloudFormation template; events that are mappings come with them."""
    given = dict(each.split("=", 1) for each in parameter or ())
    target = _Target(output, CodeAddress(code_url))
    try:
        found = SamTemplate(template, given)
        for layer in found.layers():
            imported = Imported()
            content = target.code(layer_object_name(layer.name), layer.archive)
            spec: dict[str, Any] = {"content": content}
            for member, field in (("Description", "description"), ("CompatibleRuntimes", "compatibleRuntimes")):
                if layer.properties.get(member):
                    spec[field] = layer.properties[member]
            if layer_object_name(layer.name) != layer.name:
                spec["layerName"] = layer.name
            imported.add("Layer", layer_object_name(layer.name), spec)
            target.write(f"layer-{layer_object_name(layer.name)}", imported)
        for function in found.functions():
            _write_template_function(function, target)
        for other in found.other_resources():
            typer.echo(f"left out: {other}", err=True)
    except (OSError, TemplateUnreadable, CodeTooLarge, yaml.YAMLError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _write_template_function(function: TemplateFunction, target: _Target) -> None:
    found = Imported(notes=list(function.notes))
    name = function.members["FunctionName"]
    object_name = object_names(name)[0]
    code: dict[str, str] = function.code
    if function.archive is not None:
        code = target.code(object_name, function.archive)
    spec = function_spec(function.members, code, found)
    if function.members.get("Tags"):
        spec["tags"] = function.members["Tags"]
    if function.reserved is not None:
        spec["reservedConcurrentExecutions"] = function.reserved
    if function.event_invoke_config:
        spec["eventInvokeConfig"] = event_invoke_config(function.event_invoke_config)
    if function.alias:
        spec["publish"] = True
    found.add("Function", object_name, spec)
    if function.alias and function.archive is not None:
        digest = base64.b64encode(hashlib.sha256(function.archive).digest()).decode()
        alias: dict[str, Any] = {"functionName": object_name, "name": function.alias, "codeSha256": digest}
        if function.provisioned:
            alias["provisionedConcurrency"] = {"provisionedConcurrentExecutions": function.provisioned}
        found.add("Alias", object_names(f"{object_name}-{function.alias}")[0], alias)
    model = ServiceModel.load("lambda")
    for mapping in function.mappings:
        found.add("EventSourceMapping", mapping_name(mapping), mapping_spec(model, mapping, found))
    target.write(object_name, found)
