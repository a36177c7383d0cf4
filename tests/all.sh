#!/usr/bin/env bash
# Everything that has to pass: format, lints, docs, tests. Needs Rust 1.95 or newer, a C compiler (SQLite is compiled in),
# chromium with chromedriver (the dashboard is tried in a browser), PostgreSQL 14 or newer (tests start a server of their
# own, as an ordinary user and in a temporary directory), PgBouncer (nodes behind a pooler), strace (the order of system
# calls) and jq (the commands of the docs); the tests of the last three are left out where these are missing. What is
# missing is installed where apt-get can be used as root, and named otherwise.
# Storage, delivery and streams are tried with SQLite and with PostgreSQL, the rest with SQLite;
# POSTRIDER_TEST_STORAGE=postgres has all integration tests use PostgreSQL.
# The recipes of the docs for nginx, Caddy, Traefik, Prometheus and Litestream run where these programs are; the first two
# are fetched from Debian. Generators of clients are fetched with pip and npm; where these cannot be reached,
# tests/openapi.sh is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "missing: $1. $2" >&2; exit 1; }
}
need cargo "Install Rust 1.95 or newer from https://rustup.rs"
can_install() { command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; }
is_updated=
install() {
  [ -n "$is_updated" ] || apt-get update -qq
  is_updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
packages=()
command -v cc >/dev/null 2>&1 || packages+=(gcc libc6-dev)
command -v chromium >/dev/null 2>&1 || packages+=(chromium)
command -v chromedriver >/dev/null 2>&1 || packages+=(chromium-driver)
command -v strace >/dev/null 2>&1 || packages+=(strace)
command -v jq >/dev/null 2>&1 || packages+=(jq)
if [ ${#packages[@]} -gt 0 ] && can_install; then
  install "${packages[@]}"
fi
# Chromium without its windows: it starts in half the time. The tests take the other one where there is no such package.
if ! command -v chromium-headless-shell >/dev/null 2>&1 && can_install; then
  install chromium-headless-shell 2>/dev/null || true
fi
# Installed without a cluster of its own, which would be a service.
postgres() {
  [ -x "${POSTRIDER_TEST_POSTGRES:-/nowhere}/postgres" ] || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1
}
if ! postgres && can_install; then
  install postgresql-common
  sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  install postgresql
fi
postgres || {
  echo "missing: PostgreSQL 14 or newer. On Debian: apt-get install postgresql; elsewhere POSTRIDER_TEST_POSTGRES names the" \
    "directory of initdb and postgres" >&2
  exit 1
}
# PgBouncer, behind which nodes are tried. Below target/ and not installed, because that would start a service. One that
# knows max_prepared_statements (1.21) is built from the source of a newer Debian where this one has an older PgBouncer.
knows_statements() { pgbouncer --version 2>/dev/null | grep -qE '^PgBouncer (1\.(2[1-9]|[3-9][0-9])|[2-9])'; }
pooler=$PWD/target/tools/pgbouncer
PATH=$pooler/usr/sbin:$PATH:/usr/sbin
if ! knows_statements && [ ! -x "$pooler/usr/sbin/pgbouncer" ] && can_install; then
  bash tests/pgbouncer.sh "$pooler" || echo "PgBouncer could not be built from source"
fi
command -v pgbouncer >/dev/null 2>&1 ||
  echo "missing: PgBouncer (on Debian: apt-get install pgbouncer); the tests of nodes behind a pooler are left out" >&2
need cc "Install a C compiler, on Debian: apt-get install gcc libc6-dev"
need chromium "Install chromium, on Debian: apt-get install chromium"
need chromedriver "Install chromedriver of the same version, on Debian: apt-get install chromium-driver"
# Unpacked below target/ and not installed: an installed one is a service that takes port 80.
for proxy in nginx caddy; do
  command -v "$proxy" >/dev/null 2>&1 && continue
  at=$PWD/target/tools/$proxy
  if [ ! -d "$at" ] && command -v apt-get >/dev/null 2>&1; then
    rm -rf "$at.new" && mkdir -p "$at.new"
    (cd "$at.new" && apt-get download -qq "$proxy" && dpkg-deb -x "$proxy"_*.deb . && rm "$proxy"_*.deb) 2>/dev/null \
      && mv "$at.new" "$at"
  fi
  case $(ldd "$at"/usr/*bin/"$proxy" 2>&1) in
    # A library that is missing, or the program.
    *"not found"* | *"No such file"*) echo "skipped: there is no $proxy; the recipe for it is not tried" ;;
    *) PATH=$PATH:$at/usr/sbin:$at/usr/bin ;;
  esac
done
# The mail server that alerts by e-mail are tried with.
if ! python3 -c 'import aiosmtpd' 2>/dev/null && [ ! -d target/tools/aiosmtpd ]; then
  python3 -m pip install -q --target target/tools/aiosmtpd aiosmtpd 2>/dev/null \
    || echo "skipped: aiosmtpd cannot be installed; alerts by e-mail are not tried"
fi
# The libraries and programs of senders that sources are tried with (tests/it/sources/peers.rs).
peers=$PWD/target/tools/peers
if [ ! -d "$peers" ]; then
  { python3 -m pip install -q --target "$peers.new" stripe slack_sdk standardwebhooks svix apprise && mv "$peers.new" "$peers"; } 2>/dev/null \
    || echo "skipped: the libraries of senders cannot be installed with pip; sources are not tried with them"
fi
if [ ! -d "$peers-node" ]; then
  { npm install --prefix "$peers-node.new" --no-audit --no-fund --silent @octokit/webhooks && mv "$peers-node.new" "$peers-node"; } 2>/dev/null \
    || echo "skipped: @octokit/webhooks cannot be installed with npm; the source github is not tried with it"
fi
alertmanager=$PWD/target/tools/alertmanager
if [ ! -d "$alertmanager" ] && command -v apt-get >/dev/null 2>&1; then
  rm -rf "$alertmanager.new" && mkdir -p "$alertmanager.new"
  (cd "$alertmanager.new" && apt-get download -qq prometheus-alertmanager && dpkg-deb -x prometheus-alertmanager_*.deb . \
    && rm prometheus-alertmanager_*.deb) 2>/dev/null && mv "$alertmanager.new" "$alertmanager" \
    || echo "skipped: Alertmanager cannot be fetched from Debian; the source alertmanager is not tried with it"
fi
# Debian's build reads its templates from there and from nowhere else.
templates=/usr/share/prometheus/alertmanager
if [ -d "$alertmanager" ] && [ ! -e "$templates/default.tmpl" ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$templates" && cp "$alertmanager$templates"/*.tmpl "$templates"
fi
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

step() { printf '\n== %s\n' "$*"; }

# Most tests wait now and then, so more of them run at once than there are cores. Faults measure times and do not.
crowd=$((2 * $(nproc)))

step "format"
cargo fmt --check
step "lints"
cargo clippy --locked --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
step "supply chain"
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --config .deny.toml --locked check licenses bans sources
else
  echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"
fi
step "build"
# All at once, so that no core waits.
cargo test --locked --no-run --quiet --lib --bins --test browser --test faults --test it
step "unit tests"
cargo test --locked --lib --bins --quiet -- --test-threads "$crowd"
step "the dashboard in a browser"
cargo test --locked --test browser -- --test-threads "$crowd"
step "answers against their documents, in short"
if [ -x target/schemathesis/bin/schemathesis ]; then
  bash tests/schemathesis.sh --short || [ $? = 77 ]
else
  echo "skipped: schemathesis is not installed (tests/schemathesis.sh installs it below target/)"
fi
step "OpenAPI documents: linters, generators, generated clients"
bash tests/openapi.sh || [ $? = 77 ]
step "faults: kills, power cuts, full disks (in full: tests/faults.sh)"
cargo test --locked --test faults -- --nocapture
if [ "${POSTRIDER_TEST_STORAGE:-}" = postgres ]; then
  step "integration tests with PostgreSQL"
else
  step "integration tests with PostgreSQL: storage, nodes, delivery, streams, commands"
  POSTRIDER_TEST_STORAGE=postgres cargo test --locked --test it -- store:: nodes:: outage:: delivery:: stream:: \
    v1::events v1::deliveries cli::database cli::migrate_storage admin::nodes --test-threads "$crowd"
  step "integration tests with SQLite"
fi
cargo test --locked --test it -- --test-threads "$crowd"
