#!/usr/bin/env bash
# Puts a PgBouncer that keeps prepared statements (1.21 or newer) below a directory: Debian's package, or, where that is
# older, one built from the source of a newer Debian. As root, with apt-get. Nothing of it is installed or started.
#   bash tests/pgbouncer.sh DIRECTORY
set -euo pipefail
to=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
libraries=(libevent-dev libc-ares2 pkg-config make gcc)
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${libraries[@]}" >/dev/null
place() {
  mkdir -p "$to.new/usr/sbin"
  cp "$1" "$to.new/usr/sbin/pgbouncer"
  rm -rf "$to" && mv "$to.new" "$to"
}
if apt-get download -qq pgbouncer && dpkg-deb -x pgbouncer_*.deb deb; then
  version=$(deb/usr/sbin/pgbouncer --version | sed -n 's/^PgBouncer 1\.\([0-9]*\).*/\1/p')
  if [ "${version:-0}" -ge 21 ]; then
    place deb/usr/sbin/pgbouncer
    exit
  fi
fi
mkdir -p lists/partial
key=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | head -n 1)
echo "deb-src [signed-by=$key] $mirror trixie main" > sources.list
apt=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists")
if apt-get "${apt[@]}" update && apt-get "${apt[@]}" source --download-only pgbouncer \
  && tar xf pgbouncer_*.orig.tar.gz && cd pgbouncer-*/ \
  && ./configure --without-openssl --without-cares --disable-evdns >/dev/null && make -s pgbouncer >/dev/null; then
  place pgbouncer
else
  echo "an older PgBouncer is used: tests of its prepared statements are left out" >&2
  place "$work/deb/usr/sbin/pgbouncer"
fi
