"""What others may know of CodeSigningConfigs and SigningProfiles, and how both are named by others."""

from collections.abc import Iterable

from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.code.code_trust import ProfileVersion
from kubelambda.core.code.signing_objects import profile_versions, signing_config_facts
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, SIGNING_PROFILES

WATCHED_SIGNING_CONFIGS = Watch(CODE_SIGNING_CONFIGS, signing_config_facts)
WATCHED_SIGNING_PROFILES = Watch(SIGNING_PROFILES, profile_versions)


def known_profiles(cluster: Cluster, namespace: str) -> Iterable[ProfileVersion]:
    """Every version of every profile of a namespace."""
    for _, versions in cluster[WATCHED_SIGNING_PROFILES].within(namespace):
        yield from versions
