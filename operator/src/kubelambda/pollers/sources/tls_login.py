"""Who we are by a user, a password and a certificate, and whom we take for a server (§7.5.4)."""

import os
import ssl
from dataclasses import dataclass, field
from typing import Final

from kubelambda.api.reasons import Reason
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.service_credentials import CredentialsMissing, read_secret
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_NO_CERTIFICATE: Final = "PROBLEM: Provided certificate or private key is invalid"


@dataclass(frozen=True, slots=True)
class TlsLogin:
    """What the Secrets of a mapping have."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificate: str | None = None
    """Ours, PEM, with those that lead to its authority."""
    private_key: str | None = field(default=None, repr=False)
    private_key_password: str | None = field(default=None, repr=False)
    authority: str | None = None
    """Certificates of who may have signed the servers', PEM."""

    def context(self, secret: str | None) -> ssl.SSLContext:
        """How both sides prove who they are. `secret` has our certificate. Raises `SourceUnreachable`."""
        try:
            context = ssl.create_default_context(cadata=self.authority)
            # Authorities of one's own are often made without what RFC 5280 asks for, and other clients take them.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self.certificate is not None and self.private_key is not None:
                _load_chain(context, f"{self.certificate}\n{self.private_key}\n", self.private_key_password)
        except (ssl.SSLError, TypeError, ValueError) as error:  # a TypeError for what is no ASCII, such as DER
            raise SourceUnreachable(
                f"the certificate or private key in Secret {secret} is invalid: "
                f"{getattr(error, 'reason', None) or error}",
                reason=Reason.SOURCE_AUTHENTICATION_FAILED,
                result=_NO_CERTIFICATE,
            ) from error
        return context


def _load_chain(context: ssl.SSLContext, chain: str, password: str | None) -> None:
    """OpenSSL reads files only: this one is in memory, and nobody else's."""
    number = os.memfd_create("chain")
    try:
        os.write(number, chain.encode())
        context.load_cert_chain(f"/proc/self/fd/{number}", password=lambda: password or "")
    finally:
        os.close(number)


async def read_tls_login(
    client: KubeClient,
    namespace: str,
    *,
    login_secret: str | None,
    certificate_secret: str | None,
    authority_secret: str | None,
) -> TlsLogin:
    """What Secrets have. Raises `CredentialsMissing`."""

    async def found(secret: str | None, *keys: tuple[str, ...]) -> list[str | None]:
        if secret is None:
            return [None for _ in keys]
        data = await read_secret(client, namespace, secret)
        values = [next((data[name] for name in names if data.get(name)), None) for names in keys]
        missing = [names[0] for names, value in zip(keys, values, strict=True) if value is None]
        if missing:
            raise CredentialsMissing(f"Secret {secret} has no key {' and no key '.join(missing)}")
        return values

    username, password = await found(login_secret, ("username",), ("password",))
    certificate, key = await found(certificate_secret, ("certificate", "tls.crt"), ("privateKey", "tls.key"))
    (authority,) = await found(authority_secret, ("certificate", "ca.crt"))
    key_password = None
    if certificate_secret is not None:
        key_password = (await read_secret(client, namespace, certificate_secret)).get("privateKeyPassword")
    return TlsLogin(username, password, certificate, key, key_password, authority)
