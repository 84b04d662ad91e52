"""One call of an operation, the services that operations use, and what they answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.awsapi.account.account_use import AccountUse
from kubelambda.awsapi.account.directory import AccountDirectory, AccountView
from kubelambda.awsapi.api_settings import ApiSettings
from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore

FIELD_MANAGER = "kubelambda-awsapi"


@dataclass(frozen=True, slots=True)
class Services:
    """What operations use, wired once at start."""

    client: KubeClient
    store: CodeStore
    fetcher: CodeFetcher
    settings: ApiSettings
    accounts: AccountDirectory
    model: ServiceModel
    """Lambda's own."""
    use: AccountUse


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose parameters fit their shapes. `caller` is the account that it comes from."""

    operation: str
    parameters: Mapping[str, Any]
    caller: AccountView
    endpoint: str
    """Scheme and host that the caller used, for addresses in answers."""
    user: str
    """What refusals call the caller: its ARN, or its account's where it need not prove who it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation returns. `status` is the model's unless given; `None` for the body means no body at all."""

    members: Mapping[str, Any] | None
    status: int | None = None
    resource: str = ""
    """The ARN that the audit line names."""


type Handler = Callable[[Services, Call], Awaitable[Answer]]
