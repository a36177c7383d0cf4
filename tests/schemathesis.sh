#!/usr/bin/env bash
# An outside judge for the three APIs: schemathesis reads each OpenAPI document, makes requests up that keep to
# it and requests that do not, and holds every answer against it. Each document is tried without a credential,
# with a key that only reads, and with one of scope admin; /admin with an owner's session too.
#
#   tests/schemathesis.sh [--short] [document[:identity]…]     document: v1 v0 admin; identity: none reader admin owner
#
# Reproducible: fixed seed, fixed version. The server listens on loopback and stands in a network namespace of
# its own, so that no webhook that schemathesis makes up is sent anywhere; where such namespaces are not
# permitted, nothing is tried (exit code 77). The tool is installed once, with pip, below target/. PROGRAM names
# a postrider that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=4.32.5
TOOL=$PWD/target/schemathesis
ROOT=$PWD
EXAMPLES=${EXAMPLES:-40}
SEED=${SEED:-20261122}
PHASES=${PHASES:-examples,coverage,fuzzing,stateful}
STEP_SECS=${STEP_SECS:-900}

if [ "${1:-}" = --short ]; then
  shift
  EXAMPLES=3
  PHASES=examples,coverage
fi
runs=("$@")
if [ ${#runs[@]} = 0 ] && [ "$PHASES" = examples,coverage ]; then runs=(v0:admin admin:owner); fi
if [ ${#runs[@]} = 0 ]; then runs=(v1 v0 admin); fi

if [ -z "${TRIED_ALONE:-}" ]; then
  if ! unshare -rn true 2>/dev/null; then
    echo "skipped: network namespaces are not permitted here (unshare -rn)" >&2
    exit 77
  fi
  if ! "$TOOL/bin/schemathesis" --version 2>/dev/null | grep -qF "$VERSION"; then
    python3 -m venv "$TOOL"
    "$TOOL/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
  fi
  if [ -z "${PROGRAM:-}" ]; then
    cargo build --locked --quiet
    PROGRAM=$PWD/target/debug/postrider
  fi
  exec unshare -rn env TRIED_ALONE=1 PROGRAM="$PROGRAM" PHASES="$PHASES" EXAMPLES="$EXAMPLES" \
    "tests/$(basename "$0")" "${runs[@]}"
fi

ip link set lo up
postrider=$PROGRAM
work=$(mktemp -d)
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  server=
}
trap 'stop; rm -rf "$work"' EXIT

url=http://127.0.0.1:8080

# A fresh server for each run, so that a failure can be seen again alone.
start() {
  rm -rf "$work/data"
  export POSTRIDER_DATA_DIR="$work/data" POSTRIDER_LISTEN=127.0.0.1:8080
  export POSTRIDER_LIMITS__REQUESTS_PER_MINUTE=0 POSTRIDER_NETWORK__ALLOW=127.0.0.0/8
  export POSTRIDER_LOG__LEVEL=info
  "$postrider" serve >"$work/out.log" 2>"$work/server.log" &
  server=$!
  for _ in $(seq 200); do
    if "$postrider" healthcheck >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "the server did not start:" >&2
  cat "$work/server.log" >&2
  exit 1
}

key() {
  "$postrider" key create --name "$1" --scope "$2" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])'
}

# Some of everything, so that what is read is there: a webhook at a port where nobody listens, and events.
furnish() {
  local token
  token=$(key furnish admin)
  send() {
    curl --silent --fail-with-body --noproxy '*' -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"
  }
  send "$url/v1/webhooks" -d '{"url":"http://127.0.0.1:9/hook","events":["*"],"headers":{"x-token":{"value":"hidden","secret":true}},"retry_schedule":[]}'
  send "$url/v1/webhooks" -d '{"url":"http://127.0.0.1:9/other","events":["license.*"],"encrypted":true}'
  for n in 1 2 3; do
    send "$url/v1/events" -d "{\"event_type\":\"license.assigned\",\"payload\":{\"n\":$n}}"
  done
  send "$url/v1/events" -d '{"event_type":"validation.done","resource_id":"val_1","payload":[]}'
}

# The headers of an identity, in `headers`.
identify() {
  headers=()
  case $1 in
    none) ;;
    reader) headers=(-H "Authorization: Bearer $(key reader webhooks:read,events:read)") ;;
    admin) headers=(-H "Authorization: Bearer $(key admin admin)") ;;
    owner)
      printf 'correct horse battery' >"$work/password"
      "$postrider" user create --email owner@example.com --role owner --password-file "$work/password" >/dev/null
      local signed cookie csrf
      signed=$(curl --silent --noproxy '*' -i -H 'Content-Type: application/json' "$url/admin/api/session" \
        -d '{"email":"owner@example.com","password":"correct horse battery"}')
      cookie=$(printf '%s' "$signed" | sed -n 's/^set-cookie: \([^;]*\).*/\1/Ip')
      csrf=$(printf '%s' "$signed" | sed -n 's/.*"csrf_token":"\([^"]*\)".*/\1/p')
      headers=(-H "Cookie: $cookie" -H "X-CSRF-Token: $csrf")
      ;;
    *) echo "there is no identity $1" >&2; exit 2 ;;
  esac
}

failed=()
try() {
  local document=$1 identity=$2 options=()
  printf '\n== %s as %s\n' "$document" "$identity"
  start
  furnish
  identify "$identity"
  # The stream does not end.
  if [ "$document" = v1 ]; then options+=(--exclude-path /v1/webhooks/deliveries/stream); fi
  # With a credential at hand no other is invented: on /admin a key takes precedence over a cookie, so an
  # invented cookie would seem to open something. Who signs out or ends sessions is a stranger
  # from then on.
  if [ "$document" = admin ] && [ "$identity" != none ]; then
    options+=(--generation-with-security-parameters false)
  fi
  if [ "$identity" = owner ]; then
    options+=(--exclude-path-regex '^/admin/api/(session|sessions/.*|password)$')
  fi
  "$postrider" openapi "$document" >"$work/$document.json"
  # It leaves files where it runs.
  if ! (cd "$work" && timeout "$STEP_SECS" "$TOOL/bin/schemathesis" --config-file "$ROOT/tests/schemathesis.toml" \
    run "$work/$document.json" --url "$url" --checks all --phases "$PHASES" --max-examples "$EXAMPLES" --seed "$SEED" --generation-deterministic \
    --workers 1 --continue-on-failure --no-color "${headers[@]}" "${options[@]}" \
    >"$work/judged" 2>&1); then
    failed+=("$document:$identity")
    cat "$work/judged"
  else
    tail -n 25 "$work/judged"
  fi
  if grep -E '"level":"ERROR"|panicked' "$work/server.log"; then failed+=("$document:$identity (log)"); fi
  kill -0 "$server" || failed+=("$document:$identity (the server went away)")
  stop
}

for run in "${runs[@]}"; do
  case $run in
    *:*) try "${run%%:*}" "${run##*:}" ;;
    admin) for identity in none reader admin owner; do try admin "$identity"; done ;;
    *) for identity in none reader admin; do try "$run" "$identity"; done ;;
  esac
done

if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed: %s\n' "${failed[*]}" >&2
  exit 1
fi
printf '\nall as described\n'
