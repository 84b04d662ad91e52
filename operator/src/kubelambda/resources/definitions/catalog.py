"""Every definition of the API group, in the order in which `crds/` lists them."""

from kubelambda.resources.definitions.access_point_definition import access_point_definition
from kubelambda.resources.definitions.alias_definition import alias_definition
from kubelambda.resources.definitions.code_signing_config_definition import code_signing_config_definition
from kubelambda.resources.definitions.definition import Manifest
from kubelambda.resources.definitions.event_source_mapping_definition import event_source_mapping_definition
from kubelambda.resources.definitions.event_target_definition import event_target_definition
from kubelambda.resources.definitions.function_definition import function_definition
from kubelambda.resources.definitions.function_version_definition import function_version_definition
from kubelambda.resources.definitions.invoke_endpoint_definition import invoke_endpoint_definition
from kubelambda.resources.definitions.layer_definition import layer_definition, layer_version_definition
from kubelambda.resources.definitions.runtime_definition import runtime_definition
from kubelambda.resources.definitions.security_group_definition import security_group_definition
from kubelambda.resources.definitions.signing_profile_definition import signing_profile_definition
from kubelambda.resources.definitions.subnet_definition import subnet_definition

DEFINITIONS = (
    function_definition,
    function_version_definition,
    alias_definition,
    layer_definition,
    layer_version_definition,
    code_signing_config_definition,
    signing_profile_definition,
    access_point_definition,
    runtime_definition,
    subnet_definition,
    security_group_definition,
    invoke_endpoint_definition,
    event_source_mapping_definition,
    event_target_definition,
)


def definitions() -> list[Manifest]:
    """One a kind."""
    return [definition() for definition in DEFINITIONS]
