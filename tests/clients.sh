#!/usr/bin/env bash
# What generators and linters make of the OpenAPI documents: redocly and spectral find nothing, and a Python and a
# TypeScript client that are generated from /openapi.json create a webhook, post, post a batch, list, read, retry and
# verify against a real server.
#
#   tests/clients.sh          PROGRAM names a postrider that is built already
#
# The tools are installed once, in fixed versions, below target/clients. Where they cannot be (no network, no python3,
# node or npm), nothing is tried (exit code 77).
set -euo pipefail
cd "$(dirname "$0")/.."

ROOT=$PWD
TOOLS=$ROOT/target/clients
SOURCES=$ROOT/tests/clients
skip() {
  echo "skipped: $*" >&2
  exit 77
}

for tool in python3 node npm curl; do
  command -v "$tool" >/dev/null 2>&1 || skip "there is no $tool"
done
mkdir -p "$TOOLS"
if ! cmp -s "$SOURCES/requirements.txt" "$TOOLS/requirements.txt"; then
  python3 -m venv "$TOOLS/python" \
    && "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check -r "$SOURCES/requirements.txt" \
    || skip "the Python packages cannot be installed (is the registry reachable?)"
  cp "$SOURCES/requirements.txt" "$TOOLS/requirements.txt"
fi
if ! cmp -s "$SOURCES/package.json" "$TOOLS/package.json" || [ ! -d "$TOOLS/node_modules" ]; then
  rm -f "$TOOLS/package.json"
  mkdir -p "$TOOLS/fresh" && cp "$SOURCES/package.json" "$TOOLS/fresh/"
  (cd "$TOOLS/fresh" && npm install --ignore-scripts --no-fund --no-audit --silent) \
    || skip "the npm packages cannot be installed (is the registry reachable?)"
  rm -rf "$TOOLS/node_modules" && mv "$TOOLS/fresh/node_modules" "$TOOLS/" && rm -rf "$TOOLS/fresh"
  cp "$SOURCES/package.json" "$TOOLS/package.json"
fi
if [ -z "${PROGRAM:-}" ]; then
  cargo build --locked --quiet
  PROGRAM=$ROOT/target/debug/postrider
fi

work=$(mktemp -d)
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap stop EXIT
export POSTRIDER_DATA_DIR=$work/data POSTRIDER_LISTEN=127.0.0.1:0 POSTRIDER_NETWORK__ALLOW=127.0.0.0/8
export NO_UPDATE_NOTIFIER=1 REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
"$PROGRAM" serve >"$work/out" 2>"$work/err" &
server=$!
url=
for _ in $(seq 300); do
  url=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/out" | head -1 || true)
  [ -n "$url" ] && curl -sf "$url/healthz" >/dev/null && break
  kill -0 "$server" 2>/dev/null || { cat "$work/err" >&2; exit 1; }
  sleep 0.1
done
TOKEN=$("$PROGRAM" key create --name clients --scope admin --json | sed 's/.*"token":"\([^"]*\)".*/\1/')
export URL=$url TOKEN
curl -sf "$url/openapi.json" -o "$work/v1.json"
curl -sf "$url/api/v0/openapi.json" -o "$work/v0.json"
curl -sf "$url/admin/openapi.json" -o "$work/admin.json"

bin=$TOOLS/node_modules/.bin
cd "$work"
cp "$SOURCES/redocly.yaml" "$SOURCES/spectral.yaml" .
failed=0
lint() {
  "$@" >lint.log 2>&1 && return
  echo "$*:" >&2 && cat lint.log >&2
  failed=1
}
lint "$bin/redocly" lint --config redocly.yaml --max-problems 20 v1.json v0.json admin.json
if grep -qE 'You have [0-9]+ warning' lint.log; then cat lint.log >&2; failed=1; fi
lint "$bin/spectral" lint --ruleset spectral.yaml --fail-severity hint v1.json v0.json admin.json

PATH=$TOOLS/python/bin:$PATH
for document in v1 v0 admin; do
  lint openapi-python-client generate --path "$document.json" --output-path "python-$document"
  # It succeeds also when it leaves pieces out.
  if grep -qE 'WARNING|Unable|missing' lint.log; then cat lint.log >&2; failed=1; fi
  lint "$bin/openapi-typescript" "$document.json" -o "$document.d.ts"
done
[ "$failed" = 0 ] || exit 1

package=$(cd python-v1 && ls -d ./*_client | head -1)
PYTHONPATH=$work/python-v1 PACKAGE=${package#./} python "$SOURCES/client.py"

cp "$SOURCES/client.ts" "$SOURCES/tsconfig.json" "$SOURCES/package.json" .
ln -s "$TOOLS/node_modules" node_modules
"$bin/tsc" --project tsconfig.json
node client.js
