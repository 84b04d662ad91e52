#!/bin/sh
# Fetches the official client by its digests, and takes its native part for this machine out of it:
# `fetch_jars.sh LIST FOLDER`.
set -eu
repository=${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2}
while read -r digest path; do
  jar="$2/${path##*/}"
  curl --fail --silent --show-error --retry 4 --retry-all-errors --output "$jar" "$repository/$path"
  echo "$digest  $jar" | sha256sum --check --quiet
done < "$1"
native="libaws-lambda-jni.linux-$(uname -m | sed s/aarch64/aarch_64/).so"
python3 - "$2" "$native" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
(client,) = folder.glob("aws-lambda-java-runtime-interface-client-*.jar")
with zipfile.ZipFile(client) as jar:
    (folder / "libaws-lambda-jni.so").write_bytes(jar.read(f"jni/{sys.argv[2]}"))
PYTHON
