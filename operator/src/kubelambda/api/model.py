"""The base of every model: camelCase on the wire, snake_case in Python, immutable, nothing unknown accepted."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value of the API. Frozen, so that a decision can never change what it observed."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )


class Observed(Model):
    """A narrow view of an object that somebody else defines: fields that we do not know are ignored."""

    model_config = ConfigDict(extra="ignore")
