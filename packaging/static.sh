#!/usr/bin/env bash
# Builds a static binary (musl), checks that it needs no other file, and lets it serve, deliver, back up and restore
# with an empty directory as its root file system (chroot; needs root, or user namespaces): no /proc, no /dev, no
# library, no time zones, no certificate authorities. Then it delivers to a receiver by name, from /etc/hosts and from
# a name server, and by HTTPS.
# Needs python3, curl and openssl. Usage: bash packaging/static.sh [BINARY]      With a BINARY nothing is built.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(uname -m)-unknown-linux-musl
program=${1:-target/$target/release/postrider}
if [ $# = 0 ]; then
  command -v musl-gcc >/dev/null || { echo "missing: musl-gcc, on Debian: apt-get install musl-tools" >&2; exit 1; }
  cargo build --locked --release --target "$target"
fi
# ldd exits with 1 and one of these sentences if there is nothing to load.
linked=$(ldd "$program" 2>&1 || true)
case $linked in
  *"not a dynamic executable"* | *"statically linked"*) echo "static: $program, $(stat -c %s "$program") bytes" ;;
  *) echo "not static: $linked" >&2; exit 1 ;;
esac

root=$(mktemp -d)
beside=$(mktemp -d)
server=
receiver=
end() {
  for pid in $server $receiver; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$root" "$beside"
}
trap end EXIT
cp "$program" "$root/postrider"
inside=(chroot "$root")
[ "$(id -u)" = 0 ] || inside=(unshare --map-root-user --root="$root")
unset SSL_CERT_FILE SSL_CERT_DIR
export POSTRIDER_NETWORK__ALLOW=127.0.0.0/8
run() { "${inside[@]}" /postrider --data /data "$@"; }

# A certificate authority, and a certificate of it for the receiver.
(
  cd "$beside"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
  openssl req -newkey rsa:2048 -nodes -subj /CN=receiver -keyout key.pem -out request.pem
  echo subjectAltName=DNS:hosts.test,DNS:dns.test > names
  openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem
) > /dev/null 2>&1

# A receiver that records requests, by HTTP and by HTTPS, and a name server that knows dns.test. Prints its ports.
name_server=127.83.5.3
python3 - "$beside" "$name_server" > "$beside/ports" <<'PYTHON' &
import http.server, socket, ssl, sys, threading
beside, name_server = sys.argv[1:]
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(beside + "/got", "ab") as file:
            file.write(self.path.encode() + b" " + body + b"\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
def names(listening):
    while True:
        asked, client = listening.recvfrom(512)
        # The query: the name, two bytes for its type, two for its class. The response: 127.0.0.1 for type A.
        end = asked.index(b"\0", 12) + 5
        is_known = asked[12:end - 4] == b"\3dns\4test\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_known and asked[end - 4:end - 2] == b"\0\1" else b""
        flags = b"\x81\x80" if is_known else b"\x81\x83"
        counts = b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0"
        listening.sendto(asked[:2] + flags + counts + asked[12:end] + answer, client)
plain, encrypted = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) for _ in "12")
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(beside + "/cert.pem", beside + "/key.pem")
encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
encrypted.handle_error = lambda *args: None
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    dns.bind((name_server, 53))
    threading.Thread(target=names, args=[dns], daemon=True).start()
    port = 53
except PermissionError:
    port = 0
threading.Thread(target=encrypted.serve_forever, daemon=True).start()
print(plain.server_address[1], encrypted.server_address[1], port, flush=True)
plain.serve_forever()
PYTHON
receiver=$!
# Waits until a command succeeds, for ten seconds at most.
within() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "never: $*" >&2; exit 1; }
within test -s "$beside/ports"
read -r http https dns < "$beside/ports"

# Serves with these variables.
serve() {
  env "$@" "${inside[@]}" /postrider --data /data --listen 127.0.0.1:0 serve > "$beside/greeting" 2>> "$beside/log" &
  server=$!
  within grep -q /healthz "$beside/greeting"
  base=$(sed -n 's|^ *health *\(http.*\)/healthz$|\1|p' "$beside/greeting")
  within curl -sf --noproxy '*' "$base/readyz"
}
stop() { kill "$server"; wait "$server" || true; server=; }
ask() { curl -sf --noproxy '*' "$base$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "${@:2}"; }
hook() { ask /v1/webhooks -d "{\"url\":\"$1\",\"events\":[\"$2\"],\"retry_schedule\":[]}" > /dev/null; }
event() { ask /v1/events -d "{\"event_type\":\"$1\",\"payload\":{\"n\":\"$1\"}}" > /dev/null; }
arrives() { within grep -q "^/$2 {\"n\":\"$1\"}" "$beside/got"; echo "delivered: $3"; }
says() { grep -q "$1" <<< "$2" || { printf 'not said: %s, but:\n%s\n' "$1" "$2" >&2; exit 1; }; }

serve
token=$(run key create --name static --scope admin --quiet)
hook "http://127.0.0.1:$http/plain" 'static.*'
event static.first
arrives static.first plain "to an address"
POSTRIDER_LISTEN=${base#http://} run healthcheck > /dev/null
ask '/v1/webhooks/deliveries/export?format=xlsx' > "$beside/log.xlsx"
python3 -m zipfile -t "$beside/log.xlsx" > /dev/null
for format in csv jsonl; do says static.first "$(ask "/v1/webhooks/deliveries/export?format=$format")"; done
says postrider_attempts_total "$(ask /metrics)"
echo "exported as XLSX, CSV and JSONL"
says 'came with this program' "$(run doctor 2>&1 || true)"
run backup /static.backup > /dev/null
echo "backed up"
if run restore /static.backup > "$beside/refusal" 2>&1; then echo "restored under a running server" >&2; exit 1; fi
stop

rm -rf "$root/data"
run restore /static.backup > /dev/null
run check > /dev/null
serve
event static.second
arrives static.second plain "after the restore"

mkdir "$root/etc"
echo "127.0.0.1 localhost hosts.test" > "$root/etc/hosts"
hook "http://hosts.test:$http/hosts" 'hosts.*'
event hosts.first
arrives hosts.first hosts "to a name of /etc/hosts"
if [ "$dns" = 53 ]; then
  echo "nameserver $name_server" > "$root/etc/resolv.conf"
  hook "http://dns.test:$http/dns" 'dns.*'
  event dns.first
  arrives dns.first dns "to a name of a name server"
  says 'dns.test is 127.0.0.1' "$(run doctor "http://dns.test:$http/dns" 2>&1 || true)"
  says 'does not resolve' "$(run doctor "http://nobody.test:$http/dns" 2>&1 || true)"
else
  echo "skipped: names of a name server; port 53 needs root"
fi

# HTTPS: the receiver's authority is not in the built-in list, until SSL_CERT_FILE names it.
hook "https://hosts.test:$https/encrypted" 'encrypted.*'
event encrypted.first
refused() { ask '/v1/webhooks/deliveries?event_type=encrypted.first' | grep -q 'unknown issuer'; }
within refused
echo "refused: a certificate of an unknown authority"
stop
cp "$beside/ca.pem" "$root/etc/ca.pem"
serve SSL_CERT_FILE=/etc/ca.pem
event encrypted.second
arrives encrypted.second encrypted "by HTTPS, with an authority of SSL_CERT_FILE"
stop
echo "everything works"
