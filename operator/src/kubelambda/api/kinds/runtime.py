"""The cluster-scoped `Runtime` custom resource: a runtime name and what its environments are made of."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.conditions import Condition
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules


class Prestart(StrEnum):
    """The runtime process that an unclaimed environment starts, up to the point where it needs the code."""

    NONE = "none"
    PYTHON = "python"
    NODE = "node"


class Pool(Model):
    """How many idle environments every namespace keeps that has a function of this runtime.

    The namespace annotation `pool-size.kubelambda.dev/<runtime>` overrides both: `3`, or `2-10`.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.maxSize) || self.maxSize >= self.size", "maxSize is less than size", fieldPath=".maxSize")
        )
    )

    size: Annotated[int, Field(ge=0, le=1000)] = 2
    """Idle environments at least."""
    max_size: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Idle environments at most: a pool follows the rate at which functions take from it. Absent: 10, or size."""


class RuntimeSpec(Model):
    """What the environments of a runtime are made of."""

    image: Annotated[str, Field(min_length=1, max_length=1024)]
    """Image of the environment: the agent and the language runtime."""
    bootstrap: Annotated[list[str], Field(max_length=64)] = []
    """Command that starts the runtime process; empty: search for an executable named bootstrap (§3.4.1)."""
    prestart: Prestart = Prestart.NONE
    """Runtime process started before the claim."""
    inline_file_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=255)] | None = None
    """File that inline code is saved as: index.py. Absent: text is no code for this runtime, which wants an archive."""
    pool: Pool = Pool()
    """Warm pool."""


class RuntimeStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    functions: int | None = None
    """Functions that use the runtime, in all namespaces."""
    pools: int | None = None
    """Namespaces that have a pool of it."""
    idle: int | None = None
    """Idle environments in all pools that are ready to be claimed."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready."""
