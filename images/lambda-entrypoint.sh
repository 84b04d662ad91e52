#!/bin/sh
# Where Lambda's images have theirs, for whoever calls it: runs the runtime for the handler that is named.
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  echo "AWS_LAMBDA_RUNTIME_API is not set: this image has no emulator of the Runtime API" 1>&2
  exit 1
fi
exec /var/runtime/bootstrap
