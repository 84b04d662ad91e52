"""Every controller of the operator: a new kind adds its line here, and its definition to `resources/definitions`."""

from kubelambda.controllers.account import namespace
from kubelambda.controllers.account.access import AccountAccess
from kubelambda.controllers.code import (
    code_collection,
    code_signing_config,
    download,
    image_source,
    signing_profile,
)
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.file_system import access_point
from kubelambda.controllers.function import alias, function, function_version, publication
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.layer import layer, layer_version
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.mapping import event_source_mapping
from kubelambda.controllers.network import enforcement, invoke_endpoint, network, network_part
from kubelambda.controllers.pool import pool, runtime
from kubelambda.resources.enforcement_probe_objects import PodOwner


def controllers(
    code: CodeState, pod: PodOwner | None = None, *, binds: bool = False
) -> tuple[Controller[Context], ...]:
    """What others depend on comes first: that is also the order in which the cluster is read. `pod`: our own.

    `binds`: whether the operator binds its roles in namespaces, or somebody else does.
    """
    access = AccountAccess()
    versions = VersionMemory(code)
    found = (
        namespace.controller(access, binds=binds),
        runtime.CONTROLLER,
        layer.controller(code),
        layer_version.CONTROLLER,
        signing_profile.CONTROLLER,
        code_signing_config.CONTROLLER,
        access_point.CONTROLLER,
        function.controller(code),
        function_version.controller(versions),
        alias.controller(versions),
        publication.controller(versions),
        pool.CONTROLLER,
        network.CONTROLLER,
        *network_part.CONTROLLERS,
        invoke_endpoint.controller(),
        enforcement.controller(pod),
        event_source_mapping.CONTROLLER,
        code_collection.controller(code),
        *download.controllers(code),
        *image_source.controllers(code),
    )
    return tuple(access.guarded(controller) for controller in found)
