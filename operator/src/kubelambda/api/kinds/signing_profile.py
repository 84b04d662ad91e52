"""The `SigningProfile` custom resource: whose signatures of code are known, by their public keys (§1.5.4).

Apart from the configurations that name them: who may choose publishers need not be who may say what a publisher's key
is, and Lambda's control API cannot.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.conditions import Condition
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

ProfileVersionArn = Annotated[
    str,
    Field(
        pattern=(
            r"^arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)$"
        ),
        max_length=1024,
    ),
]


class SigningProfileVersion(Model):
    """One key: another key is another version."""

    arn: ProfileVersionArn
    """What configurations and signatures name it by: arn:aws:signer:<region>:<account>:/signing-profiles/<name>/<n>."""
    public_key: Annotated[str, Field(min_length=1, max_length=16_384)]
    """A public key of the curve P-256 as PEM, or a certificate with one, of which nothing else counts."""
    revoked_from: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """From when on its signatures are not trusted, by the time that they say; RFC 3339."""
    revoked_jobs: Annotated[list[Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]], Field(max_length=1000)] = []
    """Single signatures that are not trusted, by the name of their job."""


class SigningProfileSpec(Model):
    """What people write."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.versions.all(one, one.publicKey.contains('-----BEGIN PUBLIC KEY-----') || "
                "one.publicKey.contains('-----BEGIN CERTIFICATE-----'))",
                "publicKey is a PEM public key or a PEM certificate",
                fieldPath=".versions",
            )
        )
    )

    versions: Annotated[
        list[SigningProfileVersion],
        Field(
            min_length=1,
            max_length=50,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["arn"]},
        ),
    ]
    """Its keys."""


class SigningProfileStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready while every key can be used."""
