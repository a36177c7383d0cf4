#!/usr/bin/env bash
# Creates the pictures of the documentation: docs/screenshots/*.png. Needs what tests/all.sh needs, and pngquant (on
# Debian: apt-get install pngquant) to compress them.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v pngquant >/dev/null 2>&1 || { echo "missing: pngquant. On Debian: apt-get install pngquant" >&2; exit 1; }
cargo test --locked --test browser -- --ignored --exact screenshots::the_main_pages_are_photographed
pngquant --force --ext .png --speed 1 --strip 128 docs/screenshots/*.png
du -ch docs/screenshots/*.png
