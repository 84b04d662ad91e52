#!/usr/bin/env bash
# A function by the aws cli alone: made, invoked and removed. ENDPOINT is the frontend's URL; any credentials and region will do.
set -euo pipefail
export AWS_ENDPOINT_URL=$ENDPOINT AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-any} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-any}
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-us-east-1}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'def handler(event, context):\n    return {"hello": event.get("name", "world")}\n' > "$folder/index.py"
python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").write(sys.argv[2], "index.py")' "$folder/code.zip" "$folder/index.py"

aws lambda create-function --function-name from-cli --runtime python3.13 --handler index.handler \
  --role arn:aws:iam::000000000000:role/any --zip-file "fileb://$folder/code.zip"
aws lambda wait function-active-v2 --function-name from-cli
printf '{"name": "you"}' > "$folder/event.json"
aws lambda invoke --function-name from-cli --payload "fileb://$folder/event.json" "$folder/answer.json"
cat "$folder/answer.json"
aws lambda delete-function --function-name from-cli
