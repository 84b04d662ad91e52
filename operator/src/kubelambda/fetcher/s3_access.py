"""Who a namespace is at S3, and where that is: what its Secret says, else what the installation says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import IPvAnyNetwork

from kubelambda.api.settings import S3Settings
from kubelambda.core.account.request_signing import ClientKey
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure
from kubelambda.core.code.s3_request import S3Place
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import SECRETS
from kubelambda.outbound.service_credentials import secret_values

NAME: Final = "kubelambda-s3"
"""The Secret of a namespace."""
_ID, _KEY, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@dataclass(frozen=True, slots=True)
class S3Access:
    """A place, and the networks in which it must not be."""

    place: S3Place
    refused: tuple[IPvAnyNetwork, ...]


@dataclass(frozen=True, slots=True)
class S3Directory:
    """Where namespaces have their buckets. The keys of the installation are for namespaces without a Secret."""

    client: KubeClient
    settings: S3Settings
    region: str
    refused: tuple[IPvAnyNetwork, ...]

    async def find(self, namespace: str) -> S3Access:
        """Raises `FetchFailed`."""
        own = await self._secret(namespace)
        # Keys of the installation never go to a server that a namespace names.
        found = own or self._installation()
        missing = [key for key in (_ID, _KEY) if not found.get(key)]
        if missing:
            where = f"Secret {NAME} of namespace {namespace}"
            text = f"{where} has no key {' and no key '.join(missing)}" if own else _nobody(where)
            raise FetchFailed(FetchFailure.DENIED, text)
        given = found.get("AWS_ENDPOINT_URL_S3")
        if given and not given.startswith(("http://", "https://")):
            text = f"AWS_ENDPOINT_URL_S3 in Secret {NAME} of namespace {namespace} is no address"
            raise FetchFailed(FetchFailure.REFUSED, text)
        endpoint = given or self.settings.endpoint_url
        region = found.get("AWS_REGION") or self.settings.region or self.region
        key = ClientKey(found[_ID], found[_KEY], found.get(_TOKEN) or None)
        # Where the installation says that buckets are, it may be anywhere.
        refused = () if endpoint is not None and endpoint == self.settings.endpoint_url else self.refused
        return S3Access(S3Place(region, endpoint, key), refused)

    async def _secret(self, namespace: str) -> dict[str, str]:
        """What the namespace's Secret says; nothing when there is none."""
        try:
            found = await self.client.find(SECRETS, NAME, namespace)
        except KubeError as error:
            text = f"Secret {NAME} of namespace {namespace} cannot be read: {error}"
            raise FetchFailed(FetchFailure.UNAVAILABLE, text) from error
        return {} if found is None else {key: value.strip() for key, value in secret_values(found).items()}

    def _installation(self) -> dict[str, str]:
        """Read anew each time: whoever mounts them changes them."""
        folder = self.settings.credentials_folder
        if folder is None:
            return {}
        paths = {name: Path(folder) / name for name in (_ID, _KEY, _TOKEN)}
        return {name: path.read_text().strip() for name, path in paths.items() if path.is_file()}


def _nobody(where: str) -> str:
    return f"nothing says who we are at S3: there is no {where}, and the installation has no keys (s3.existingSecret)"
