"""Labels and annotations by which components recognise each other's objects.

The contract is written down in `docs/environment-protocol.md`.
"""

from typing import Final

GROUP: Final = "kubelambda.dev"
VERSION: Final = "v1alpha1"

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
MANAGER: Final = "kubelambda"
COMPONENT_ENVIRONMENT: Final = "environment"

POOL: Final = f"{GROUP}/pool"
RUNTIME: Final = f"{GROUP}/runtime"
FUNCTION: Final = f"{GROUP}/function"
FUNCTION_UID: Final = f"{GROUP}/function-uid"
FUNCTION_VERSION: Final = f"{GROUP}/version"
REVISION: Final = f"{GROUP}/revision"
VERSION_LATEST: Final = "latest"
"""Label value for `$LATEST`, whose dollar sign a label cannot carry."""

PROVISIONED: Final = f"{GROUP}/provisioned"
"""Label of a provisioned environment, the alias or version number that it is kept for, in the form that a label can
have; the annotation of the same name has it as it is."""
INIT_FAILURE: Final = f"{GROUP}/init-failure"
"""Annotation of a provisioned environment's pod: why it is not initialized, in Lambda's word where it has one."""
INIT_FAILURE_MESSAGE: Final = f"{GROUP}/init-failure-message"
"""Beside it: what went wrong, for people."""
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""Kubernetes' annotation: of the pods of a ReplicaSet those of the lowest cost end first."""
DELETION_COST_FIRST: Final = "-1000"
"""Of a provisioned environment that takes nothing more: one that serves costs 0."""
VERSION_FINALIZER: Final = f"{GROUP}/version"
"""Keeps a FunctionVersion while an alias uses it, and until its number is remembered."""
LAYER_VERSION_FINALIZER: Final = f"{GROUP}/layer-version"
"""Holds a layer version that functions use."""
ACCESS_POINT_FINALIZER: Final = f"{GROUP}/access-point"
"""Holds an access point while functions use it."""
CLAIM_FINALIZER: Final = f"{GROUP}/access-point-claim"
"""Holds a PersistentVolumeClaim while functions use it through an access point."""

CODE_SIGNING_FINALIZER: Final = f"{GROUP}/code-signing-config"
"""Holds a CodeSigningConfig that functions name."""
NETWORK_FINALIZER: Final = f"{GROUP}/network-in-use"
"""Holds a Subnet or a SecurityGroup that functions use."""
NETWORK: Final = f"{GROUP}/network"
"""Label of environments that are born closed: nothing gets out of them but what their security groups allow."""
NETWORK_CLOSED: Final = "closed"
NETWORK_SET: Final = f"{GROUP}/network-set"
"""Label that the claim of a closed environment adds: which set of subnets and security groups it joins."""

NETWORK_POLICY: Final = f"{GROUP}/network-policy"
"""Label of every NetworkPolicy that we make: the set that it is of, or `base`."""
NETWORK_POLICY_BASE: Final = "base"
ACCOUNT_ROLE: Final = f"{GROUP}/account-role"
"""Label of every RoleBinding that we make."""
SECURITY_GROUP: Final = f"security-group.{GROUP}"
"""Prefix of the label of a group's members: `security-group.kubelambda.dev/<group>: ""`."""

POSITIONS: Final = f"{GROUP}/positions"
"""Annotation of a mapping's Lease: JSON, by shard the last sequence number that is done, and whether all of it is."""
TAKEN_FROM: Final = f"{GROUP}/taken-from"
"""Beside it: whom the mapping's status named as its poller when the Lease's holder took it over."""

INVOKE_ENDPOINT: Final = f"{GROUP}/invoke-endpoint"
"""Label of what we make for an InvokeEndpoint, with a digest of its name; the annotation has `namespace/name`."""
FRONTENDS: Final = f"{GROUP}/frontends"
"""Label of the frontends' Service, which its EndpointSlices have too."""

NETWORK_PROBE: Final = f"{GROUP}/network-probe"
"""Label of what tries whether the cluster enforces NetworkPolicies; the policy's annotation has what was found."""

CLAIMED_AT: Final = f"{GROUP}/claimed-at"

ACCOUNT_ID: Final = f"{GROUP}/account-id"
"""Namespace annotation: its 12-digit account id."""
CONCURRENT_EXECUTIONS: Final = f"{GROUP}/concurrent-executions"
"""Namespace annotation: its concurrency quota, instead of the chart's default."""
AUTH_MODE: Final = f"{GROUP}/auth-mode"
"""Namespace annotation: how its callers must prove who they are, where the installation asks for nothing."""
FUNCTION_URL_CREATED: Final = f"{GROUP}/function-url-created"
"""Annotation of a Function or Alias: when the control API gave it an HTTP address."""
CREDENTIALS_SECRET: Final = f"{GROUP}/credentials-secret"
"""Namespace annotation: the Secret in it that has `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if needed,
`AWS_SESSION_TOKEN` of its functions."""
POOL_SIZE: Final = f"pool-size.{GROUP}"
"""Prefix of a namespace annotation: `pool-size.kubelambda.dev/python3.13: "5"`."""

POOL_DEMAND: Final = f"{GROUP}/pool-demand"
"""Annotation of a pool's Deployment: what it needed in each hour of the last days, where pools are forecast."""

CONTAINER: Final = "environment"
