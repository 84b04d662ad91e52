"""The definition of CodeSigningConfig."""

from kubelambda.api.kinds.code_signing_config import CodeSigningConfigSpec, CodeSigningConfigStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def code_signing_config_definition() -> Manifest:
    """Code signing configurations, and what `kubectl get` shows of them."""
    return definition(
        kind="CodeSigningConfig",
        plural="codesigningconfigs",
        short="csc",
        scope="Namespaced",
        spec=CodeSigningConfigSpec,
        status=CodeSigningConfigStatus,
        columns=[
            column("Untrusted", ".spec.codeSigningPolicies.untrustedArtifactOnDeployment"),
            column("Id", ".status.codeSigningConfigId"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1},
        rules=[],
    )
