"""A publisher of code: a key, the profile that makes it known, and archives that it signs."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kubelambda.core.code.code_signature import CodeStatement, sign
from kubelambda.core.code.signed_content import signed_content, with_comment

ARN = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/release/abcdefghij"


@dataclass(frozen=True)
class Signer:
    """One version of a signing profile."""

    arn: str = ARN
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def public_pem(self) -> str:
        """What everybody may know."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self) -> bytes:
        """What only the publisher knows."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def signed(
        self, archive: bytes, *, job: str | None = None, signed_at: int | None = None, seconds: int | None = 3600
    ) -> bytes:
        """The archive with a signature that is good for so long; None: for ever."""
        at = int(time.time()) if signed_at is None else signed_at
        expires = None if seconds is None else at + seconds
        digest = signed_content([archive]).sha256
        statement = CodeStatement(self.arn, digest, at, expires, job or str(uuid.uuid4()))
        return with_comment(archive, sign(statement, self.key))

    def profile(self, name: str, namespace: str, **more: Any) -> dict[str, Any]:
        """The SigningProfile that makes the key known."""
        return {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "SigningProfile",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"versions": [{"arn": self.arn, "publicKey": self.public_pem, **more}]},
        }

    def config(self, name: str, namespace: str, policy: str = "Enforce") -> dict[str, Any]:
        """A CodeSigningConfig that allows this publisher alone."""
        return {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "CodeSigningConfig",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "allowedPublishers": {"signingProfileVersionArns": [self.arn]},
                "codeSigningPolicies": {"untrustedArtifactOnDeployment": policy},
            },
        }
