"""The HTTP address of a Function or of an Alias."""

from kubelambda.api.settings import Settings
from kubelambda.core.invoke.url_address import UrlDomain
from kubelambda.kube.kube_client import Object


def own_url(settings: Settings, body: Object) -> str:
    """The function URL of an object that has one."""
    urls = settings.function_urls
    uid: str = body["metadata"]["uid"]
    return UrlDomain(settings.region, urls.domain, urls.scheme).address(uid)
