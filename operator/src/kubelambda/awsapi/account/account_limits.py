"""What an account has, and what is left of it (§1.3.2, §5.2)."""

from dataclasses import dataclass

from kubelambda.awsapi.account.account_use import AccountTotal
from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import unavailable
from kubelambda.awsapi.call import Services
from kubelambda.core.account.reserved_concurrency import account_quota


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Concurrency of an account, and the sums of what it uses."""

    quota: int
    total: AccountTotal

    @property
    def unreserved(self) -> int:
        """For the functions without a reservation."""
        return max(0, self.quota - self.total.reserved)


async def account_limits(services: Services, account: AccountView) -> AccountLimits:
    """As they are now. Raises `ApiError` while everything is still being counted."""
    quota = account_quota(account.quota_annotation, services.settings.account_concurrency)
    try:
        return AccountLimits(quota, await services.use.total(account.namespace))
    except TimeoutError as error:
        raise unavailable("The functions of the account are still being counted") from error
