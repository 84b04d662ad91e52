"""Every operation that this release serves, by its name in the service models; all others answer 501."""

from collections.abc import Mapping
from typing import Final

from kubelambda.awsapi.call import Handler
from kubelambda.awsapi.event import event_invoke_operations
from kubelambda.awsapi.function import (
    function_concurrency,
    function_defaults,
    function_operations,
    function_reads,
    function_url_operations,
)
from kubelambda.awsapi.layer import layer_operations
from kubelambda.awsapi.mapping import mapping_operations
from kubelambda.awsapi.permission import permission_operations
from kubelambda.awsapi.scaling import scaling_operations
from kubelambda.awsapi.signing import function_signing_operations, signing_config_operations
from kubelambda.awsapi.tag import tag_operations
from kubelambda.awsapi.version import alias_operations, provisioned_operations, version_operations

SCALING: Final[Mapping[str, Handler]] = scaling_operations.OPERATIONS

LAMBDA: Final[Mapping[str, Handler]] = {
    **function_operations.OPERATIONS,
    **function_reads.OPERATIONS,
    **function_concurrency.OPERATIONS,
    **function_url_operations.OPERATIONS,
    **tag_operations.OPERATIONS,
    **function_defaults.OPERATIONS,
    **permission_operations.OPERATIONS,
    **event_invoke_operations.OPERATIONS,
    **version_operations.OPERATIONS,
    **alias_operations.OPERATIONS,
    **provisioned_operations.OPERATIONS,
    **mapping_operations.OPERATIONS,
    **layer_operations.OPERATIONS,
    **signing_config_operations.OPERATIONS,
    **function_signing_operations.OPERATIONS,
}
