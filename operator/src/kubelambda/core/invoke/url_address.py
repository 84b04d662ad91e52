"""Where a function URL is: `<url-id>.lambda-url.<region>.<domain>` (§2.5.1)."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

_MARK: Final = ".lambda-url."
_ID_CHARS: Final = 32


def url_id(uid: str) -> str:
    """The id of the URL of the Function or Alias with that uid: another one once the object is another.

    It is no secret: who may call, the resource policy says.
    """
    digest = hashlib.sha256(f"function url of {uid}".encode()).digest()
    return base64.b32encode(digest).decode()[:_ID_CHARS].lower()


def id_in_host(host: bytes, suffix: str) -> str | None:
    """The id in a `Host`, in whatever case and with a port or without; None where the host does not end so."""
    name = host.decode("latin-1").lower().partition(":")[0]
    return name.removesuffix(suffix) if name.endswith(suffix) else None


@dataclass(frozen=True, slots=True)
class UrlDomain:
    """The part of the hosts of all function URLs that is the same."""

    region: str
    domain: str
    scheme: str = "http"

    @property
    def suffix(self) -> str:
        """How every host ends."""
        return f"{_MARK}{self.region}.{self.domain}"

    def address(self, uid: str) -> str:
        """The function URL of an object, as Lambda writes it: with a slash at its end."""
        return f"{self.scheme}://{url_id(uid)}{self.suffix}/"
