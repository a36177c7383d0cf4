#!/usr/bin/env bash
# A cluster to try on one machine: a throw-away PostgreSQL, three nodes of Postrider and Caddy in front of them, all on
# loopback and in a temporary directory. It prints what to try, takes commands (kill a node, stop the database …), and
# removes everything at the end. docs/cluster.md walks through it.
#
# Needs PostgreSQL 14 or newer (Debian: apt-get install postgresql; nothing of the installed service is used), Caddy
# (apt-get install caddy; without it the nodes are used directly), curl, and a postrider program.
# Usage: bash packaging/cluster.sh [BINARY]
#   NODES=3            how many nodes
#   PORT=8080          the port of Caddy; a free one if it is taken
#   LEASE=10s          cluster.lease: how long a node that is gone keeps its webhooks
#   WEBHOOKS=24        webhooks to the built-in receiver
#   POSTGRES_BIN=DIR   where initdb and postgres are
#   POSTGRES_SETTINGS= more lines of postgresql.conf
#   CADDY=FILE         the program
# Other settings of the nodes come from the environment, as ever (POSTRIDER_DELIVERY__CONCURRENCY=32).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "$*" >&2; exit 1; }
first_of() { for file in "$@"; do [ -x "$file" ] && { echo "$file"; return; }; done; }
program=${1:-$(first_of target/release/postrider target/quick/postrider target/debug/postrider)}
[ -x "$program" ] || fail "missing: postrider; build it with cargo build --release, or name a program"
program=$(realpath "$program")
command -v curl > /dev/null || fail "missing: curl, on Debian: apt-get install curl"
newest=$(find /usr/lib/postgresql -name initdb -printf '%h\n' 2> /dev/null | sort -V | tail -n 1)
postgres=${POSTGRES_BIN:-${newest:-$(dirname "$(command -v initdb || echo none)")}}
[ -x "$postgres/initdb" ] || fail "missing: PostgreSQL, on Debian: apt-get install postgresql; or set POSTGRES_BIN"
caddy=${CADDY:-$(command -v caddy || first_of target/tools/caddy/usr/bin/caddy)}
nodes=${NODES:-3}
[[ $nodes =~ ^[1-9]$ ]] || fail "NODES is $nodes; it is a number from 1 to 9"

# PostgreSQL does not run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
  user=$(getent passwd postgres nobody | head -n 1 | cut -d: -f1)
  [ -n "$user" ] || fail "PostgreSQL does not run as root, and there is no user postgres or nobody"
  as_user=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
fi

dir=$(mktemp -d)
chmod 755 "$dir"
pids=()         # of the nodes, by number; 0: it does not run
ports=()
caddy_pid=
database_runs=
is_taken() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    is_taken "$port" || { echo "$port"; return; }
  done
}
within() { for _ in $(seq 300); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; return 1; }
database() { (cd "$dir" && "${as_user[@]}" "$postgres/pg_ctl" -D "$dir/data" -s -w -l "$dir/postgres.log" "$@"); }

end() {
  trap - EXIT INT TERM
  echo "stopping; everything is removed"
  local n pid
  for n in "${!pids[@]}"; do [ "${pids[n]}" = 0 ] || kill -TERM "${pids[n]}" 2> /dev/null || true; done
  for pid in "${pids[@]}"; do [ "$pid" = 0 ] || wait "$pid" 2> /dev/null || true; done
  [ -z "$caddy_pid" ] || { kill -TERM "$caddy_pid" 2> /dev/null && wait "$caddy_pid" 2> /dev/null; } || true
  [ -z "$database_runs" ] || database stop -m fast || true
  rm -rf "$dir"
}
trap 'end; exit 130' INT TERM
trap end EXIT

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
settings=()
for name in STORAGE__URL="postgres://postgres@/postgres?host=$dir" CLUSTER__LEASE="${LEASE:-10s}" \
    ENCRYPTION_KEY="$(random 32)" HTTP__TRUSTED_PROXIES=127.0.0.1 \
    NETWORK__ALLOW="${POSTRIDER_NETWORK__ALLOW:-127.0.0.1/32}"; do
  settings+=("POSTRIDER_$name")
done
# A node's command, on the database of the cluster.
postrider() { (cd "$dir" && env "${settings[@]}" POSTRIDER_PUBLIC_URL="$url" "$program" "$@"); }

start_node() {
  local n=$1
  (cd "$dir" && exec env "${settings[@]}" POSTRIDER_PUBLIC_URL="$url" POSTRIDER_LISTEN="127.0.0.1:${ports[n]}" \
    POSTRIDER_CLUSTER__NODE="node-$n" "$program" serve) >> "$dir/node-$n.log" 2>&1 < /dev/null &
  pids[n]=$!
}
is_ready() { curl -sf -m 2 "http://127.0.0.1:${ports[$1]}/readyz"; }
wait_for_node() {
  within is_ready "$1" && return
  echo "node-$1 is not ready; its log ends with:" >&2
  tail -n 5 "$dir/node-$1.log" >&2
  return 1
}

echo "starting PostgreSQL ($("$postgres/postgres" --version)) in $dir"
mkdir "$dir/data"
[ ${#as_user[@]} -eq 0 ] || chown "$user" "$dir" "$dir/data"
(cd "$dir" && "${as_user[@]}" "$postgres/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C) \
  > "$dir/initdb.log" 2>&1 || fail "PostgreSQL could not be set up: $(tail -n 3 "$dir/initdb.log")"
echo "listen_addresses = ''
unix_socket_directories = '$dir'
max_connections = 200
${POSTGRES_SETTINGS:-}" >> "$dir/data/postgresql.conf"
database start
database_runs=yes

port=${PORT:-8080}
if [ "$port" = 0 ] || is_taken "$port"; then port=$(free_port); fi
for n in $(seq "$nodes"); do ports[n]=$(free_port); pids[n]=0; done
if [ -x "$caddy" ]; then url=http://127.0.0.1:$port; else url=http://127.0.0.1:${ports[1]}; fi
for n in $(seq "$nodes"); do start_node "$n"; done
for n in $(seq "$nodes"); do wait_for_node "$n"; done

if [ -x "$caddy" ]; then
  # A node that stops answers /readyz with 503 and takes requests for 5 s more: Caddy sees that long before.
  upstreams=$(for n in $(seq "$nodes"); do printf '127.0.0.1:%s ' "${ports[n]}"; done)
  echo "{
    admin off
    auto_https off
    storage file_system $dir/caddy
}
http://127.0.0.1:$port {
    bind 127.0.0.1
    reverse_proxy $upstreams {
        lb_policy round_robin
        lb_try_duration 5s
        lb_try_interval 100ms
        health_uri /readyz
        health_interval 500ms
        health_timeout 2s
        fail_duration 1s
    }
    handle_errors {
        header Retry-After 2
        respond \"No node is ready; the database may be away.\" {err.status_code}
    }
}" > "$dir/Caddyfile"
  HOME=$dir "$caddy" run --config "$dir/Caddyfile" --adapter caddyfile > "$dir/caddy.log" 2>&1 < /dev/null &
  caddy_pid=$!
  within curl -sf "$url/healthz" || fail "Caddy does not answer: $(tail -n 3 "$dir/caddy.log")"
else
  echo "there is no Caddy: the nodes are used directly"
fi

password=$(random 6)
postrider user create --email owner@example.com --role owner --password-file - <<< "$password" > /dev/null
token=$(postrider key create --name cluster --scope admin --quiet)
api() { curl -sf -m 10 "$url$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "${@:2}"; }
for n in $(seq "${WEBHOOKS:-24}"); do
  webhook="\"name\":\"Sample $n\",\"url\":\"http://echo.postrider.invalid/\",\"events\":[\"sample.n$((n % 8))\"]"
  api /v1/webhooks -d "{$webhook}" > /dev/null
done

# Posts events one after the other; some may be refused while the database is away.
post() {
  local n accepted=0
  for n in $(seq "$1"); do
    if api /v1/events -d "{\"event_type\":\"sample.n$((n % 8))\",\"payload\":{\"n\":$n}}" > /dev/null; then
      accepted=$((accepted + 1))
    fi
  done
  echo "$accepted of $1 events accepted"
}
status() {
  local n overview
  for n in $(seq "$nodes"); do
    if [ "${pids[n]}" = 0 ]; then
      echo "node-$n  does not run"
    elif is_ready "$n" > /dev/null; then
      echo "node-$n  ready      http://127.0.0.1:${ports[n]}"
    else
      echo "node-$n  not ready  http://127.0.0.1:${ports[n]}"
    fi
  done
  if overview=$(api /admin/api/overview); then
    sed 's/.*"nodes":\[\([^]]*\)\].*/\1/; s/},{/}\n{/g' <<< "$overview"
  else
    echo "no answer from $url"
  fi
  echo
}
is_node() { [[ $1 =~ ^[1-9]$ ]] && [ "$1" -le "$nodes" ] || { echo "which node? 1 to $nodes"; return 1; }; }
runs() { is_node "$1" && { [ "${pids[$1]}" != 0 ] || { echo "node-$1 does not run"; return 1; }; }; }
end_node() {
  local began=$SECONDS
  kill "-$2" "${pids[$1]}" || true
  wait "${pids[$1]}" 2> /dev/null || true
  pids[$1]=0
  echo "node-$1 has ended after $((SECONDS - began)) s"
}
start_again() {
  if [ "${pids[$1]}" != 0 ]; then echo "node-$1 runs"; return; fi
  start_node "$1"
  if wait_for_node "$1"; then echo "node-$1 is ready"; fi
}
help() {
  cat << HELP

  dashboard  $url/admin/   owner@example.com   $password
  API        curl $url/v1/webhooks/deliveries -H 'Authorization: Bearer $token'
  logs       $dir/node-1.log …

Watch the page About of the dashboard, and try:

  post 200     post 200 events; about three webhooks get each
  kill 2       kill -9 node-2: after the lease the others send in its place
  stop 2       stop it in good order (SIGTERM): its webhooks move at once
  start 2      start it again: it gets its share of the webhooks
  down, up     stop and start PostgreSQL: posts are refused (503) meanwhile, nothing accepted is lost
  status       what runs, and the nodes as they see each other
  help, quit

HELP
}

help
while IFS= read -r -e -p 'cluster> ' line; do
  [ -t 0 ] || echo "cluster> $line"
  read -r command argument _ <<< "$line" || true
  case ${command:-} in
    '') ;;
    post) [[ ${argument:-10} =~ ^[0-9]{1,5}$ ]] && post "${argument:-10}" || echo "how many?" ;;
    kill) if runs "${argument:-}"; then end_node "$argument" KILL; fi ;;
    stop) if runs "${argument:-}"; then end_node "$argument" TERM; fi ;;
    start) if is_node "${argument:-}"; then start_again "$argument"; fi ;;
    down) database stop -m fast && database_runs= && echo "PostgreSQL has stopped" || true ;;
    up) database start && database_runs=yes && echo "PostgreSQL runs" || true ;;
    status) status ;;
    help) help ;;
    quit | exit) break ;;
    *) echo "not known: $command; try help" ;;
  esac
done
