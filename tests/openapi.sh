#!/usr/bin/env bash
# The OpenAPI documents as outside programs read them: two linters; the code generators that people use; and
# two generated clients, one in Python and one in TypeScript, against a real server.
#
# The tools have fixed versions and are installed once, with pip and npm, below target/. Where they cannot be
# installed, or where node is missing, nothing is tried (exit code 77). PROGRAM names a postrider that is built
# already. The server listens on loopback and sends nothing beyond it.
set -euo pipefail
cd "$(dirname "$0")/.."

PIP=(openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 ruff==0.17.6)
NPM=(@redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3)
TOOLS=$PWD/target/openapi
HERE=$PWD/tests/openapi

skip() {
  echo "skipped: $*; the OpenAPI documents are not tried with generators and linters"
  exit 77
}
for tool in python3 node npm; do
  command -v "$tool" >/dev/null 2>&1 || skip "there is no $tool"
done
if [ "$(cat "$TOOLS/versions" 2>/dev/null)" != "${PIP[*]} ${NPM[*]}" ]; then
  rm -rf "$TOOLS"
  mkdir -p "$TOOLS/npm"
  { python3 -m venv "$TOOLS/python" \
    && timeout 300 "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check "${PIP[@]}" \
    && timeout 300 npm install --prefix "$TOOLS/npm" --no-audit --no-fund --silent "${NPM[@]}"; } >"$TOOLS/log" 2>&1 \
    || skip "the tools cannot be installed with pip and npm ($TOOLS/log says why)"
  echo "${PIP[*]} ${NPM[*]}" >"$TOOLS/versions"
fi
if [ -z "${PROGRAM:-}" ]; then
  # With the features of the tests, so that nothing is compiled twice.
  cargo test --locked --no-run --quiet --test browser
  PROGRAM=$PWD/target/debug/postrider
fi
PATH=$TOOLS/npm/node_modules/.bin:$TOOLS/python/bin:$PATH
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NO_COLOR=1

work=$(mktemp -d)
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap stop EXIT
cd "$work"
for document in v1 v0 admin; do "$PROGRAM" openapi "$document" >"$document.json"; done

echo "-- linters"
# Their exit codes say that there are problems; which of them count is for lint.py.
printf 'extends: ["spectral:oas"]\n' >.spectral.yaml
redocly lint v1.json v0.json admin.json --extends=recommended --format=json --max-problems=10000 >redocly.json 2>redocly.log || [ -s redocly.json ]
spectral lint v1.json v0.json admin.json --format=json --quiet >spectral.json 2>spectral.log || [ -s spectral.json ]
python3 "$HERE/lint.py" "$HERE/exceptions.txt" redocly.json spectral.json

echo "-- openapi-python-client, openapi-typescript"
for document in v1 v0 admin; do
  package=python/$document/postrider_client
  mkdir -p "python/$document" typescript
  openapi-python-client generate --path "$document.json" --meta none --output-path "$package" >"$document.log" 2>&1
  if grep -i -A12 -E 'warning|error' "$document.log"; then exit 1; fi
  openapi-typescript "$document.json" --output "typescript/$document.ts" >"$document.log" 2>&1 || { cat "$document.log"; exit 1; }
  python3 "$HERE/complete.py" "$document.json" "$package" "typescript/$document.ts"
done

echo "-- openapi-generator"
if command -v java >/dev/null 2>&1; then
  jar=$(find "$TOOLS/python/lib" -name openapi-generator.jar)
  for generator in python go typescript-fetch java; do
    for document in v1 v0 admin; do
      printf 'generatorName: %s\ninputSpec: %s\noutputDir: %s\n' \
        "$generator" "$document.json" "generated/$document/$generator" >"$generator-$document.yaml"
    done
  done
  java -XX:TieredStopAtLevel=1 -jar "$jar" batch --fail-fast --threads 2 --root-dir "$work" --includes-base-dir "$work" \
    ./*-v1.yaml ./*-v0.yaml ./*-admin.yaml >generator.log 2>&1 || { tail -n 40 generator.log; exit 1; }
  # No piece is missing for these: names that Go reserves are changed, and an example is left out of Java's
  # documentation. The last is a note of the Python generator about alternatives without a name.
  if grep -E ' (WARN|ERROR) ' generator.log | grep -v \
    -e 'reserved word) cannot be used as' \
    -e 'Ignoring complex example on request body' \
    -e 'Failed to get the schema name: null'; then exit 1; fi
  for document in v1 v0 admin; do python3 "$HERE/complete.py" "$document.json" generated/"$document"/*; done
else
  echo "skipped: there is no java; openapi-generator is not tried"
fi

echo "-- generated clients against a server"
mkdir client
cp "$HERE/client.ts" client/
cp typescript/v1.ts client/schema.ts
ln -s "$TOOLS/npm/node_modules" client/node_modules
printf '{ "type": "module" }\n' >client/package.json
printf '{ "compilerOptions": { "strict": true, "target": "es2022", "module": "nodenext", "lib": ["es2022", "dom", "dom.iterable"], "types": [] } }\n' \
  >client/tsconfig.json
tsc --project client

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
export POSTRIDER_DATA_DIR=$work/data POSTRIDER_LISTEN=127.0.0.1:$port POSTRIDER_NETWORK__ALLOW=127.0.0.0/8
"$PROGRAM" serve >server.log 2>&1 &
server=$!
for _ in $(seq 200); do
  if "$PROGRAM" healthcheck >/dev/null 2>&1; then break; fi
  sleep 0.1
done
"$PROGRAM" healthcheck >/dev/null || { cat server.log; exit 1; }
key() {
  "$PROGRAM" key create --name "$1" --scope admin --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])'
}
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
PYTHONPATH=$work/python/v1 "$TOOLS/python/bin/python" "$HERE/client.py" "$url" "$(key python)"
node client/client.js "$url" "$(key typescript)"
echo "the OpenAPI documents are read as they are meant"
