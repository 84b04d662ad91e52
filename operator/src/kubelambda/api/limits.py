"""Quotas of Lambda as named constants (`docs/semantics.md` §1.3, §2.1.3, §3.3, §5). Bytes, seconds, MB as named."""

from typing import Final

MEMORY_MIN_MB: Final = 128
MEMORY_MAX_MB: Final = 10_240
MEMORY_MB_PER_VCPU: Final = 1769
TIMEOUT_MIN_S: Final = 1
TIMEOUT_MAX_S: Final = 900
TIMEOUT_DEFAULT_S: Final = 3
EPHEMERAL_STORAGE_MIN_MB: Final = 512
EPHEMERAL_STORAGE_MAX_MB: Final = 10_240
HANDLER_MAX_CHARS: Final = 128
DESCRIPTION_MAX_CHARS: Final = 256
FUNCTION_NAME_MAX_CHARS: Final = 63
"""Lambda allows 64; the name is also a label value, and Kubernetes allows 63 there."""
ENVIRONMENT_MAX_BYTES: Final = 4096
LAYERS_MAX: Final = 5

ZIP_MAX_BYTES: Final = 52_428_800
UNZIPPED_MAX_BYTES: Final = 262_144_000

SYNC_REQUEST_MAX_BYTES: Final = 6_291_456
ASYNC_REQUEST_MAX_BYTES: Final = 1_048_576
RESPONSE_MAX_BYTES: Final = 6_291_556
STREAM_MAX_BYTES: Final = 209_715_200
"""Of an answer that is streamed (§2.4.2)."""
STREAM_BURST_BYTES: Final = 6_291_456
"""So much of it goes as quickly as it comes."""
STREAM_BYTES_PER_S: Final = 2_097_152
"""And what is more, so quickly."""
HEADERS_MAX_BYTES: Final = 1_048_576
CLIENT_CONTEXT_MAX_BYTES: Final = 3_583
LOG_TAIL_BYTES: Final = 4_096

INIT_TIMEOUT_S: Final = 10.0
PROVISIONED_INIT_TIMEOUT_S: Final = 130.0
BILLING_INCREMENT_MS: Final = 100
"""Billed durations are multiples of it, unless an installation says otherwise (§9.4)."""

ACCOUNT_CONCURRENCY: Final = 1000
UNRESERVED_MINIMUM: Final = 100
SCALING_RATE: Final = 1000
"""On-demand environments that one function may add per `SCALING_RATE_PERIOD_S`; also the bucket's capacity (§5.9)."""
SCALING_RATE_PERIOD_S: Final = 10.0
REQUEST_RATE_FACTOR: Final = 10
"""Synchronous requests per second allowed for every unit of concurrency (§5.10)."""

RESERVED_ENVIRONMENT_VARIABLES: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    }
)
POLLERS_LEAST_OF_QUEUE = 2
"""Of a provisionedPollerConfig that names no minimum (§7.1.10)."""
POLLERS_LEAST_OF_TOPIC = 1
POLLERS_MOST = 200
"""Of one that names no maximum."""
