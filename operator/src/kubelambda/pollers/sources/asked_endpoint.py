"""What is wrong when an HTTP endpoint of a mapping's owner, beside its source, cannot be asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp

from kubelambda.api.reasons import Reason
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable


@contextmanager
def asking(*, certificate: str, refused: str, unreachable: Callable[[str], SourceUnreachable]) -> Iterator[None]:
    """Raises `SourceUnreachable` for whatever the client raises: `unreachable` makes it of what was wrong.

    `certificate` is whose is not trusted, if so, and `refused` the lastProcessingResult then.
    """
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        why = f"{certificate} is not trusted: {error.certificate_error}"
        raise SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=refused) from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        fault = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        raise unreachable(str(fault) or type(error).__name__) from error
