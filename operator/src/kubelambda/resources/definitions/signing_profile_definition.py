"""The definition of SigningProfile."""

from kubelambda.api.kinds.signing_profile import SigningProfileSpec, SigningProfileStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def signing_profile_definition() -> Manifest:
    """Signing profiles, and what `kubectl get` shows of them."""
    return definition(
        kind="SigningProfile",
        plural="signingprofiles",
        short=None,
        scope="Namespaced",
        spec=SigningProfileSpec,
        status=SigningProfileStatus,
        columns=[
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1},
        rules=[],
    )
