"""How a mapping of Kafka knows the schemas of its records: a registry that speaks Confluent's protocol (§7.5.6)."""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.kinds.source_access import SECRET_REFERENCE
from kubelambda.api.model import Model

EventRecordFormat = Literal["JSON", "SOURCE"]
SchemaAttribute = Literal["KEY", "VALUE"]


class SchemaRegistryAccess(Model):
    """Who we are at the registry, or whom we take for it."""

    type: Literal["BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE"]
    """What it is for: a user and password, our certificate, or that of the authority that signed the registry's."""
    uri: Annotated[str, Field(pattern=SECRET_REFERENCE, min_length=1, max_length=512)]
    """Name of a Secret of the same namespace, or `arn:…:secretsmanager:…:secret:<name>`. Its keys are those of
    sourceAccessConfigurations."""


class SchemaValidation(Model):
    """What of a record has a schema."""

    attribute: SchemaAttribute
    """KEY or VALUE."""


class SchemaRegistryConfig(Model):
    """Records are judged by their schemas before the function gets them."""

    schema_registry_uri: Annotated[
        str, Field(alias="schemaRegistryURI", pattern=r"^https?://[^/?#\s]+[^?#\s]*$", max_length=2048)
    ]
    """Base address of the registry. Registries of AWS Glue, which an ARN names, are not served."""
    event_record_format: EventRecordFormat = "JSON"
    """JSON: the function gets what the record says as JSON; SOURCE: as it is, but without the schema's number."""
    schema_validation_configs: Annotated[list[SchemaValidation], Field(min_length=1, max_length=2)]
    """What of a record has a schema: the key, the value, or both."""
    access_configs: Annotated[list[SchemaRegistryAccess], Field(max_length=3)] = []
    """Who we are at the registry."""
