#!/usr/bin/env bash
# Builds the program static (musl), checks that it needs nothing at run time, and has it serve, deliver, back up
# and restore in an empty directory that is its whole file system (chroot; needs root, or user namespaces).
# Usage: bash packaging/static.sh [PROGRAM]          With a PROGRAM nothing is built.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(uname -m)-unknown-linux-musl
program=${1:-target/$target/release/postrider}
if [ $# = 0 ]; then
  command -v musl-gcc >/dev/null || { echo "missing: musl-gcc, on Debian: apt-get install musl-tools" >&2; exit 1; }
  cargo build --locked --release --target "$target"
fi
# ldd ends with 1 and one of these words when there is nothing to load.
linked=$(ldd "$program" 2>&1 || true)
case $linked in
  *"not a dynamic executable"* | *"statically linked"*) echo "static: $program" ;;
  *) echo "not static: $linked" >&2; exit 1 ;;
esac

root=$(mktemp -d)
server=
receiver=
end() {
  for pid in $server $receiver; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$root"
}
trap end EXIT
cp "$program" "$root/postrider"
inside=(chroot "$root")
[ "$(id -u)" = 0 ] || inside=(unshare --map-root-user --root="$root")
export POSTRIDER_NETWORK__ALLOW=127.0.0.0/8
run() { "${inside[@]}" /postrider --data /data "$@"; }

# A receiver that writes down what it gets, and says where it listens.
python3 - "$root/got" > "$root/receiver" <<'PYTHON' &
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(sys.argv[1], "ab") as file:
            file.write(self.headers["webhook-id"].encode() + b" " + body + b"\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
receiver=$!
# Waits until a command succeeds, for ten seconds at most.
within() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "never: $*" >&2; exit 1; }
within test -s "$root/receiver"
hook=http://127.0.0.1:$(cat "$root/receiver")/hook

serve() {
  "${inside[@]}" /postrider --data /data --listen 127.0.0.1:0 serve > "$root/greeting" 2> "$root/log" &
  server=$!
  within grep -q /healthz "$root/greeting"
  base=$(sed -n 's|^ *health *\(http.*\)/healthz$|\1|p' "$root/greeting")
  within curl -sf "$base/readyz"
}
stop() { kill "$server"; wait "$server" || true; server=; }
ask() { curl -sf --noproxy '*' "$base$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$2"; }

serve
token=$(run key create --name static --scope admin --json | sed 's/.*"token":"\([^"]*\)".*/\1/')
ask /v1/webhooks "{\"url\":\"$hook\",\"events\":[\"*\"]}" > /dev/null
ask /v1/events '{"event_type":"static.first","payload":{"n":1}}' > /dev/null
within grep -q '{"n":1}' "$root/got"
echo "delivered"
run backup /static.backup
stop

rm -rf "$root/data"
run restore /static.backup
run check > /dev/null
serve
ask /v1/events '{"event_type":"static.second","payload":{"n":2}}' > /dev/null
within grep -q '{"n":2}' "$root/got"
echo "delivered after the restore"
stop
