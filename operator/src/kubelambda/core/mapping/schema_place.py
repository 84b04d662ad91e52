"""Where the schemas of a mapping's records are, and by which Secrets it is known there: pure (§7.5.6)."""

from dataclasses import dataclass

from kubelambda.api.kinds.schema_registry_config import EventRecordFormat, SchemaRegistryConfig
from kubelambda.core.mapping.mq_place import secret_name


@dataclass(frozen=True, slots=True)
class SchemaPlace:
    """A registry, and what of a record it knows. Secrets are named; what is in them is read when a poller begins."""

    url: str
    """Its base address, without a slash at the end."""
    format: EventRecordFormat
    """What the function gets."""
    key: bool
    """Whether a record's key has a schema."""
    value: bool
    """Whether its value has one."""
    login_secret: str | None = None
    certificate_secret: str | None = None
    """Of our certificate."""
    authority_secret: str | None = None
    """Of whoever may have signed the registry's certificate; those that everybody trusts unless given."""


def schema_place(config: SchemaRegistryConfig) -> SchemaPlace:
    """The registry of a mapping."""
    access: dict[str, str] = {each.type: secret_name(each.uri) for each in config.access_configs}
    attributes = {each.attribute for each in config.schema_validation_configs}
    return SchemaPlace(
        url=config.schema_registry_uri.rstrip("/"),
        format=config.event_record_format,
        key="KEY" in attributes,
        value="VALUE" in attributes,
        login_secret=access.get("BASIC_AUTH"),
        certificate_secret=access.get("CLIENT_CERTIFICATE_TLS_AUTH"),
        authority_secret=access.get("SERVER_ROOT_CA_CERTIFICATE"),
    )
