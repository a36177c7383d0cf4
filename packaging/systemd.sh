#!/usr/bin/env bash
# Boots systemd as process 1 in a fresh Debian (in separate namespaces; this machine's systemd is not touched) and runs
# Postrider there with packaging/postrider.service and postrider.socket, by the commands in their header comments:
# readiness, the user and the files, delivery, exports, backups, restore, reload of a certificate, watchdog, crash,
# stop with a delivery in flight, restarts without refused connections, a mistake in the configuration, a reboot.
#
# Needs root, debootstrap and a Debian mirror, unshare and nsenter, python3, curl, openssl, and the static binary
# (built by `bash packaging/static.sh`). Takes two minutes, half a minute of it for Debian.
# Usage: bash packaging/systemd.sh [BINARY]
#   DEBIAN_ROOT=DIR    an existing Debian with systemd; nothing is written to it
#   DEBIAN_MIRROR=URL  the mirror, default: http://deb.debian.org/debian
set -Eeuo pipefail
cd "$(dirname "$0")/.."

fail() { echo "$*" >&2; exit 1; }
program=${1:-target/$(uname -m)-unknown-linux-musl/release/postrider}
[ "$(id -u)" = 0 ] || fail "only root can boot a systemd: sudo bash packaging/systemd.sh"
needed=(unshare nsenter findmnt python3 curl openssl)
[ -n "${DEBIAN_ROOT:-}" ] || needed+=(debootstrap)
for command in "${needed[@]}"; do
  command -v "$command" > /dev/null || fail "missing: $command, on Debian: apt-get install debootstrap util-linux python3 curl openssl"
done
[ -x "$program" ] || fail "missing: $program; build it with bash packaging/static.sh, or name another binary"
cgroups=$(findmnt -n -o TARGET -t cgroup2 | head -n 1) || true
[ -n "$cgroups" ] || fail "missing: cgroup version 2; mount -t cgroup2 cgroup2 /sys/fs/cgroup"

beside=$(mktemp -d)
cgroup=$cgroups/postrider-$$
manager=
system=
helpers=()
end() {
  for pid in "${helpers[@]}"; do kill "$pid" 2> /dev/null || true; done
  # This ends all processes inside as well.
  [ -z "$manager" ] || kill -KILL "$manager" 2> /dev/null || true
  [ -z "$manager" ] || wait "$manager" 2> /dev/null || true
  for _ in $(seq 50); do
    [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} \; 2> /dev/null || true
    [ -d "$cgroup" ] || break
    sleep 0.1
  done
  rm -rf "$beside"
}
trap end EXIT
trap 'echo "line $LINENO: $BASH_COMMAND" >&2; tell' ERR
# Waits until a command succeeds, for a minute at most.
within() { for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; tell; fail "never: $*"; }
is() { [ "$2" = "$3" ] || { tell; fail "$1 is $2, not $3"; }; }
tell() { [ -z "$system" ] || inside journalctl --no-pager -q -n 20 >&2 || true; }
says() { grep -q -- "$1" <<< "$2" || { printf 'not said: %s, but:\n%s\n' "$1" "$2" >&2; exit 1; }; }
step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

debian=${DEBIAN_ROOT:-$beside/debian}
if [ -z "${DEBIAN_ROOT:-}" ]; then
  debootstrap --variant=minbase --include=systemd,dbus bookworm "$debian" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" \
    > "$beside/debootstrap" || { tail "$beside/debootstrap" >&2; fail "Debian could not be fetched"; }
  step "Debian is installed"
fi

# The file system of process 1: Debian, with an overlay for what is written, /proc, /dev, cgroups; only the loopback network.
mkdir "$beside/written" "$beside/work" "$beside/root"
cat > "$beside/enter" <<'ENTER'
set -eu
mount --make-rprivate /
mount -t overlay overlay "$2/root" -o "lowerdir=$1,upperdir=$2/written,workdir=$2/work"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs sysfs sys -o ro,nosuid,noexec,nodev
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs dev -o mode=755
for device in null zero full random urandom tty; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run -o mode=755
mkdir -p run/before
pivot_root . run/before
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c \
  'umount -l /run/before; mount --make-rshared /; exec /lib/systemd/systemd'
ENTER
boot() {
  mkdir -p "$cgroup"
  (
    echo "$BASHPID" > "$cgroup/cgroup.procs"
    exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child \
      sh "$beside/enter" "$(realpath "$debian")" "$beside" < /dev/null > "$beside/console" 2>&1
  ) &
  manager=$!
  within child_of "$manager"
  system=$(child_of "$manager")
  within inside systemctl is-system-running
}
child_of() { grep -o '[0-9]*' "/proc/$1/task/$1/children"; }
inside() { nsenter --target "$system" --all -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# A command of this machine, in the network namespace of the other.
near() { nsenter --target "$system" --net -- "$@"; }
journal() { inside journalctl --no-pager -q -u postrider "$@"; }
show() { inside systemctl show postrider --value --property "$1"; }
# Edits a unit, as `systemctl edit` does.
edit() {
  inside mkdir -p "/etc/systemd/system/$1.d"
  inside tee "/etc/systemd/system/$1.d/$2.conf" > /dev/null
  inside systemctl daemon-reload
}
# The n-th code block of this kind on a page.
block() {
  awk -v kind="$2" -v number="$3" '/^```/ { if (inside) exit; inside = $0 == "```" kind && ++seen == number; next } inside' "$1" \
    | grep . || fail "$1 has no block $2 $3"
}

# A receiver that records requests. To /slow it responds after three seconds.
receive() {
  (exec nsenter --target "$system" --net -- python3 - "$beside" > /dev/null 2>&1) <<'PYTHON' &
import http.server, sys, time
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(sys.argv[1] + "/got", "ab") as file:
            file.write(self.path.encode() + b" " + body + b"\n")
        if self.path == "/slow":
            time.sleep(3)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
PYTHON
  helpers+=($!)
  within near curl -s --noproxy '*' http://127.0.0.1:9000/
}
base=http://127.0.0.1:8080
browse() { near curl -sf --noproxy '*' "$@"; }
ask() { browse "$base$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "${@:2}"; }
hook() { ask /v1/webhooks -d "{\"url\":\"http://127.0.0.1:9000/$1\",\"events\":[\"$2\"],\"retry_schedule\":[]}" > /dev/null; }
event() { ask /v1/events -d "{\"event_type\":\"$1\",\"payload\":{\"n\":\"$1\"}}" > /dev/null; }
got() { grep -c "^/$1 {\"n\":\"$2\"}" "$beside/got" || true; }
arrives() { within grep -q "^/$1 {\"n\":\"$2\"}" "$beside/got"; }
# The command line as the service's user: the command in the unit's header, with other arguments.
as_user=$(sed -n '/^#   systemd-run/,/^#  *postrider --data/p' packaging/postrider.service | sed 's/^#//; s/\\$//' | tr -d '\n' \
  | sed 's/postrider --data .*//')
says '^  *systemd-run .*StateDirectory=postrider' "$as_user"
run() { inside bash -c "$as_user postrider --data /var/lib/postrider $*"; }

boot
receive
is "process 1" "$(inside cat /proc/1/comm)" systemd
step "$(inside systemctl --version | head -n 1) is process 1 of Debian $(cat "$debian/etc/debian_version")"

# The commands in the unit's header, in a directory with the files that they name.
mkdir "$beside/source"
cp -r packaging config.example.toml "$beside/source"
cp "$program" "$beside/source/postrider" # whatever it is called here
inside mkdir /root/source
tar -C "$beside/source" -c . | inside tar -C /root/source -x
commands=$(sed -n '2,/^# Commands/s/^#   //p' packaging/postrider.service | grep -v systemd-run)
says 'enable --now' "$commands"
inside bash -c "cd /root/source && set -ex; ${commands/systemctl daemon-reload/echo POSTRIDER_NETWORK__ALLOW=127.0.0.0/8 >> /etc/postrider/environment; systemctl daemon-reload}" \
  > "$beside/installed" 2>&1 || { cat "$beside/installed" >&2; fail "the commands in the header of the unit fail"; }
says '/admin/setup/' "$(cat "$beside/installed")"
is "the state" "$(show ActiveState)" active
is "the type" "$(show Type)" notify
browse "$base/readyz" > /dev/null
step "installed by the commands of the unit; ready when systemctl says so; the journal has the link for the owner account"

main=$(show MainPID)
says '^Uid:\s*6[0-9]\{4\}\s' "$(inside cat "/proc/$main/status")"
says '^CapEff:\s*0*$' "$(inside cat "/proc/$main/status")"
says '^NoNewPrivs:\s*1$' "$(inside cat "/proc/$main/status")"
says '^Seccomp:\s*2$' "$(inside cat "/proc/$main/status")"
modes() { inside stat -c '%a %U' /var/lib/postrider/ | sed 's/ .*//'; inside find /var/lib/postrider/ -type f -perm /077; }
is "the mode of /var/lib/postrider, and what others may read" "$(modes)" 700
in_service() { inside nsenter --target "$main" --mount -- "$@"; }
for path in /etc/x /usr/x /root/x /home/x; do
  if in_service touch "$path" 2> "$beside/refusal"; then fail "the service may write to $path"; fi
done
step "a separate user without privileges: $(inside systemd-analyze security postrider --no-pager | sed -n 's/.*exposure level for postrider.service: //p')"

token=$(run key create --name first --scope admin --quiet)
hook plain 'plain.*'
hook slow 'slow.*'
event plain.first
arrives plain plain.first
is "the mode after a command" "$(modes)" 700
# The command that the greeting prints works for root as well, and leaves no file that the service cannot read.
pasted=$(journal -o cat | sed -n 's/^ *export TOKEN=$(\(.*\))$/\1/p' | head -n 1)
says '^prk_' "$(inside bash -c "$pasted")"
is "files of others" "$(inside find /var/lib/postrider/ ! -user "$(inside stat -c %u /var/lib/postrider/postrider.db)")" ""
step "a key by the command of the unit, and by that of the greeting; an event is delivered"

ask '/v1/webhooks/deliveries/export?format=xlsx' > "$beside/log.xlsx"
python3 -m zipfile -t "$beside/log.xlsx" > /dev/null
for format in csv jsonl; do says plain.first "$(ask "/v1/webhooks/deliveries/export?format=$format")"; done
[ "$(journal -o cat | grep -c 'made in the server')" = 0 ] || fail "no process for a workbook could be started"
says 'postrider_attempts_total' "$(browse "$base/metrics")"
says 'process_resident_memory_bytes [1-9]' "$(browse "$base/metrics")"
step "exported as XLSX (built by a separate process), CSV and JSONL; /metrics has the process"

says 'ok' "$(run doctor 2>&1 || true)"
run backup /var/lib/postrider/monday.backup > /dev/null
step "backed up: $(inside stat -c '%s bytes, mode %a' /var/lib/postrider/monday.backup)"

# Backups on another disk, as docs/operating.md says.
inside mkdir -m 0700 /var/lib/private/postrider-backups
inside mount -t tmpfs tmpfs /var/lib/private/postrider-backups
block docs/operating.md ini 1 | edit postrider.service backups
inside systemctl restart postrider
made() { inside find /var/lib/postrider-backups/ -type f -printf '%f, %s bytes, mode %m\n' | grep backup; }
within made
step "a scheduled backup on another disk: $(made)"

event slow.first
within grep -q '^/slow .*slow.first' "$beside/got"
began=$(date +%s%N)
inside systemctl stop postrider
took=$((($(date +%s%N) - began) / 1000000))
is "the result of the stop" "$(show Result)" success
inside systemctl start postrider
says '"status":"delivered"' "$(ask '/v1/webhooks/deliveries?event_type=slow.first')"
is "how often slow.first came" "$(got slow slow.first)" 1
step "stopped in $took ms with a delivery of 3 s in flight, which is in the log and was sent once"

event slow.second
within grep -q '^/slow .*slow.second' "$beside/got"
inside systemctl kill --signal=KILL --kill-whom=main postrider
restarted() { [ "$(show NRestarts)" = "$1" ] && [ "$(show ActiveState)" = active ]; }
within restarted 1
twice() { [ "$(got slow slow.second)" = 2 ]; }
within twice
step "killed: restarted, and what was in flight is sent again"

began=$SECONDS
inside systemctl kill --signal=STOP --kill-whom=main postrider
within restarted 2
says 'Watchdog timeout' "$(journal)"
browse "$base/readyz" > /dev/null
step "halted: the watchdog restarted it after $((SECONDS - began)) s"

# What was accepted after the backup is gone.
inside systemctl stop postrider
run restore /var/lib/postrider/monday.backup > /dev/null
run check > /dev/null
inside systemctl start postrider
says '"total":0' "$(ask '/v1/webhooks/deliveries?event_type=slow.first')"
event plain.second
arrives plain plain.second
is "the mode after a restore" "$(modes)" 700
step "restored; the key is the old one; an event is delivered"

inside sh -c 'echo POSTRIDER_LISTN=x >> /etc/postrider/environment'
if inside systemctl restart postrider 2> /dev/null; then fail "a mistake in the configuration is not noticed"; fi
is "the state after a mistake" "$(show ActiveState) $(show ExecMainStatus) $(show NRestarts)" "failed 2 0"
says 'POSTRIDER_LISTN' "$(journal -o cat -n 20)"
inside sed -i /LISTN/d /etc/postrider/environment
inside systemctl start postrider
step "a mistake in the configuration: no restart loop, and the journal names it"

# The socket, by the commands in its header. Clients connect without a pause meanwhile: no connection is refused.
inside bash -c "cd /root/source && set -e; $(sed -n '1,/^\[Unit/s/^#   //p' packaging/postrider.socket)" 2> /dev/null
(exec nsenter --target "$system" --net -- python3 - "$beside" > /dev/null 2>&1) <<'PYTHON' &
import http.client, os, sys, threading
beside, answers = sys.argv[1], []
def go():
    while not os.path.exists(beside + "/enough"):
        try:
            asked = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
            asked.request("GET", "/healthz")
            answers.append(asked.getresponse().status)
            asked.close()
        except OSError as error:
            answers.append(error)
        open(beside + "/asking", "w").close()
threads = [threading.Thread(target=go) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with open(beside + "/counted", "w") as file:
    print(answers.count(200), len(answers) - answers.count(200), file=file)
PYTHON
asker=$!
helpers+=("$asker")
within test -e "$beside/asking"
for _ in 1 2 3; do inside systemctl restart postrider; done
touch "$beside/enough"
wait "$asker"
read -r good bad < "$beside/counted"
is "requests that were refused or broken during three restarts, of $good" "$bad" 0
step "a separate socket: three restarts, $good requests, none refused"

# TLS at port 443, with a certificate that another program renews: docs/proxies.md.
renew() {
  mkdir -p "$beside/lineage"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$beside/lineage/privkey.pem" -out "$beside/lineage/fullchain.pem" 2> /dev/null
  tar -C "$beside" -c lineage | inside tar -C /root -x
  block docs/proxies.md bash 1 | inside env RENEWED_LINEAGE=/root/lineage sh -e
}
inside groupadd --system postrider-tls
renew
block docs/proxies.md ini 2 | edit postrider.service tls
block docs/proxies.md ini 3 | edit postrider.socket tls
inside systemctl stop postrider 2> /dev/null
inside systemctl restart postrider.socket
inside systemctl start postrider
base=https://localhost
browse --cacert "$beside/lineage/fullchain.pem" "$base/readyz" > /dev/null
cp "$beside/lineage/fullchain.pem" "$beside/old.pem"
main=$(show MainPID)
renew
trusted() { browse --cacert "$1" "$base/readyz"; }
within trusted "$beside/lineage/fullchain.pem"
if trusted "$beside/old.pem" > /dev/null 2>&1; then fail "the old certificate is in use"; fi
is "the process after the reload" "$(show MainPID)" "$main"
inside sh -c 'echo nonsense > /etc/postrider/tls/fullchain.pem'
inside systemctl reload postrider
refused() { journal -o cat | grep 'could not be read again'; }
within refused
trusted "$beside/lineage/fullchain.pem" > /dev/null
step "TLS at port 443; systemctl reload uses a renewed certificate, and ignores a bad one"

# A Unix socket for a proxy's group.
block docs/proxies.md ini 1 | edit postrider.socket tls
inside rm /etc/systemd/system/postrider.service.d/tls.conf
inside systemctl daemon-reload
inside systemctl stop postrider 2> /dev/null
inside systemctl restart postrider.socket
inside systemctl start postrider
is "the socket" "$(inside stat -c '%a %G' /run/postrider.sock)" "660 www-data"
cat > "$beside/through" <<'PYTHON'
import os, socket, sys
os.chdir(sys.argv[1])
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
asked = socket.socket(socket.AF_UNIX)
asked.connect("postrider.sock")
asked.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
print(asked.recv(12).decode())
PYTHON
through() { near python3 "$beside/through" "/proc/$system/root/run" "$1"; }
says '200' "$(through 33)"
if through 34 2> /dev/null; then fail "a user outside of the group can connect"; fi
step "a Unix socket for the group www-data"

# A configured encryption key, as in the unit, with a new directory.
inside systemctl disable --now postrider.socket 2> /dev/null
inside systemctl stop postrider
inside rm /etc/systemd/system/postrider.service.d/backups.conf
inside umount /var/lib/private/postrider-backups
inside systemctl daemon-reload
inside systemctl clean --what=state postrider
inside sh -c 'head -c 32 /dev/urandom | base64 > /etc/postrider/encryption_key; chmod 600 /etc/postrider/encryption_key'
sed -n 's/^#\(LoadCredential=\|Environment=POSTRIDER_ENCRYPTION\)/\1/p' packaging/postrider.service | sed '1i [Service]' | edit postrider.service key
inside systemctl start postrider
base=http://127.0.0.1:8080
token=$(run key create --name second --scope admin --quiet)
hook plain 'plain.*'
event plain.third
arrives plain plain.third
if inside test -e /var/lib/postrider/secret.key; then fail "there is a key file next to the configured key"; fi
step "an encryption key that only root can read; none in the directory"

inside systemctl reboot
wait "$manager" 2> /dev/null || true
boot
within browse "$base/readyz"
is "the state after a reboot" "$(show ActiveState)" active
receive
event plain.fourth
arrives plain plain.fourth
step "rebooted: it serves without intervention"
bad=$(inside systemctl --failed --plain --no-legend)
is "failed units" "$bad" ""
step "everything works"
