#!/usr/bin/env bash
# The full form of the tests of faults, one after the other, on a release build: 100 kills, 100 power cuts, a backlog
# of a million. It takes the better part of an hour and prints the figures that docs/reliability.md shows. An argument
# names the tests that are wanted, such as `power`. As root on Linux a full disk is a real one (tmpfs).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
POSTRIDER_FAULTS=full POSTRIDER_FAULTS_BIN=target/release/postrider \
  cargo test --locked --test faults -- --test-threads=1 --nocapture "$@"
