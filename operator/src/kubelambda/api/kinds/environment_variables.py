"""Environment variables of a Function: literal ones, and those out of Secrets and ConfigMaps (§1.3)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.kinds.function_code import DataKey, ObjectName
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

RESERVED = ", ".join(f"'{name}'" for name in sorted(limits.RESERVED_ENVIRONMENT_VARIABLES))
VARIABLE_NAME = "^[a-zA-Z][a-zA-Z0-9_]+$"


class KeyReference(Model):
    """One key of a ConfigMap or Secret in the function's namespace."""

    name: ObjectName
    """Name of the object."""
    key: DataKey
    """Key within it."""
    optional: bool = False
    """Whether the variable is simply left out when the object or the key is missing."""


class VariableSource(Model):
    """An environment variable whose value comes from a Secret or a ConfigMap."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "give exactly one of secretKeyRef and configMapKeyRef",
            ),
            rule(f"!(self.name in [{RESERVED}])", "this environment variable is reserved by Lambda", fieldPath=".name"),
        )
    )

    name: Annotated[str, Field(pattern=VARIABLE_NAME, max_length=256)]
    """Name of the variable."""
    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""


class EnvironmentVariables(Model):
    """Environment variables of the function; literal ones at most 4 KB as a JSON object."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.variables) || self.variables.all(name, name.matches('" + VARIABLE_NAME + "'))",
                "names of environment variables start with a letter and have at least two of a-z, A-Z, 0-9 and _",
                fieldPath=".variables",
            ),
            rule(
                f"!has(self.variables) || self.variables.all(name, !(name in [{RESERVED}]))",
                "variables has a name that Lambda reserves (AWS_REGION, AWS_LAMBDA_…, _HANDLER, …): rename it",
                fieldPath=".variables",
            ),
            rule(
                "!has(self.variables) || self.variables.map(name, "
                "bytes(name).size() + bytes(self.variables[name]).size() + 6).sum() + 1 <= "
                f"{limits.ENVIRONMENT_MAX_BYTES}",
                "Lambda was unable to configure your environment variables because the environment variables you have "
                "provided exceeded the 4KB limit.",
                fieldPath=".variables",
            ),
        )
    )

    variables: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=512)] = {}
    """Literal values."""
    from_: Annotated[list[VariableSource], Field(max_length=128, alias="from")] = []
    """Values out of Secrets and ConfigMaps, read when an environment starts."""
