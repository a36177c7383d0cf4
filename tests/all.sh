#!/usr/bin/env bash
# Everything that has to pass: format, lints, docs, tests. Needs Rust 1.95 or newer and a C compiler
# (SQLite is compiled in); says so when they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "missing: $1. $2" >&2; exit 1; }
}
need cargo "Install Rust 1.95 or newer from https://rustup.rs"
if ! command -v cc >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev
  fi
fi
need cc "Install a C compiler, on Debian: apt-get install gcc libc6-dev"
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --check
step "lints"
cargo clippy --locked --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
step "unit tests"
cargo test --locked --lib --bins --quiet
step "integration tests"
cargo test --locked --test it
