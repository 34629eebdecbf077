#!/usr/bin/env bash
# A Docker engine of one's own, with stand-ins for the base images, where there is neither an engine nor a registry.
#
#   tests/compose/engine.sh start FOLDER    # then: export DOCKER_HOST=unix://FOLDER/docker.sock DOCKER_CONFIG=FOLDER/client PATH=FOLDER/bin:$PATH
#   tests/compose/engine.sh stop FOLDER     # ends it and removes what it changed; FOLDER goes as a whole
#   tests/compose/engine.sh needs           # the Debian packages that `start` relies on
#
# Needs root on Debian 12, the machine's own package sources, and the packages of needed_packages, which are part of most
# machines. The engine's programs are unpacked into FOLDER; nothing is installed.
# The stand-ins hold what our files rely on (the user, the folders, the programs, the entry point's contract) from Debian's
# packages. They prove the project's own files, not the real images, and must never be published.
set -euo pipefail
umask 022  # the images are read by users of their own
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
own_suite=bookworm     # what the machine is, and the stand-ins for Airflow and Redis
engine_suite=trixie    # Compose v2 is not in bookworm; these programs need no newer C library than bookworm's
arch_lib=usr/lib/$(uname -m)-linux-gnu
needed_packages="ca-certificates gpgv iproute2 mount perl python3 util-linux"

say() { printf '[engine] %s\n' "$*"; }
fail() { printf '[engine] %s\n' "$*" >&2; exit 1; }

all_done() {  # PID...: waits for all of them; an error if one had one
  local pid failed=0
  for pid in "$@"; do wait "$pid" || failed=1; done
  return "$failed"
}

# Package sources of the machine, with the suite exchanged, as apt settings of their own.
apt_settings() {  # SUITE -> path of the settings
  local suite=$1 state=$root/apt/$1
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/sources"
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    # Debian's own only: another vendor's repository has no such suite.
    if [ -f "$file" ] && grep -qE "^[^#]*\b$own_suite(-updates|-security)?( |$)" "$file" && grep -qE '^[^#]*/debian' "$file"; then
      sed "s/\b$own_suite\b/$suite/g" "$file" > "$state/sources/$(basename "$file")"
    fi
  done
  [ -n "$(ls "$state/sources")" ] || fail "The machine's package sources name no $own_suite of Debian; an engine can only be made there."
  cat > "$state/apt.conf" <<SETTINGS
Dir::State::lists "$state/lists";
Dir::Cache "$state";
Dir::Cache::archives "$state/archives";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$state/sources";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "5";
SETTINGS
  echo "$state/apt.conf"
}

unpack() {  # SUITE PACKAGE...
  local suite=$1 settings
  shift
  settings=$(apt_settings "$suite")
  APT_CONFIG=$settings apt-get -qq update
  mkdir -p "$root/debs" "$root/programs"
  (cd "$root/debs" && APT_CONFIG=$settings apt-get -qq download "$@")
}

install_programs() {
  local deb name jobs=()
  unpack "$engine_suite" docker.io docker-cli docker-compose docker-buildx containerd & jobs+=($!)
  unpack "$own_suite" runc libseccomp2 iptables libip4tc2 libip6tc2 libxtables12 libmnl0 libnftnl11 libnfnetlink0 libnetfilter-conntrack3 mmdebstrap & jobs+=($!)
  all_done "${jobs[@]}"
  for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$root/programs"; done
  rm -r "$root/debs"
  mkdir -p "$root/bin" "$root/client/cli-plugins"
  for name in usr/sbin/dockerd usr/bin/docker usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/sbin/docker-proxy usr/bin/docker-proxy usr/bin/mmdebstrap usr/bin/mmtarfilter; do
    if [ -e "$root/programs/$name" ]; then ln -sf "$root/programs/$name" "$root/bin/$(basename "$name")"; fi
  done
  wrap runc usr/sbin/runc
  for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do wrap "$name" "usr/sbin/xtables-nft-multi" "$name"; done
  for name in docker-compose docker-buildx; do
    ln -sf "$root/programs/$(cd "$root/programs" && find usr -path "*cli-plugins/$name" | head -1)" "$root/client/cli-plugins/$name"
  done
}

wrap() {  # NAME PROGRAM [FIRST ARGUMENT]: a program that finds its libraries in FOLDER
  cat > "$root/bin/$1" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH=$root/programs/$arch_lib XTABLES_LIBDIR=$root/programs/$arch_lib/xtables exec $root/programs/$2 ${3:-} "\$@"
WRAPPER
  chmod +x "$root/bin/$1"
}

start_engine() {
  iptables-save > "$root/iptables.before"
  ip6tables-save > "$root/ip6tables.before"
  bridges > "$root/bridges.before"
  # Last: its presence says that the others are whole.
  cat /proc/sys/net/ipv4/ip_forward > "$root/ip_forward.before"
  local proxy
  proxy=$(command -v docker-proxy || true)
  setsid dockerd --data-root "$root/data" --exec-root "$root/exec" --pidfile "$root/docker.pid" -H "unix://$root/docker.sock" \
    ${proxy:+--userland-proxy-path "$proxy"} > "$root/dockerd.log" 2>&1 < /dev/null &
  local waited
  for waited in $(seq 60); do
    if docker info > /dev/null 2>&1; then
      say "Docker $(docker version --format '{{.Server.Version}}') and Compose $(docker compose version --short) run after $waited s"
      return
    fi
    sleep 1
  done
  tail -20 "$root/dockerd.log" >&2
  fail "The engine did not start; the whole log is $root/dockerd.log"
}

import_debian() {  # SUITE NAME PACKAGES: a minimal Debian with these packages as an image
  local suite=$1 name=$2 packages=$3 settings
  settings=$(apt_settings "$suite")
  # Debian's own sources go in as text; the machine's keys are those of its sources.
  # The tar goes into the engine as it grows; documentation and translations stay out.
  mmdebstrap --mode=root --variant=minbase --format=tar --include="$packages" --aptopt='Acquire::Retries "5"' \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" - "$(dirname "$settings")"/sources/* 2> "$root/mmdebstrap-$suite.log" \
    | docker import - "$name" > /dev/null || { tail -20 "$root/mmdebstrap-$suite.log" >&2; fail "Making $name failed."; }
}

# What the machine needs to reach its package index: certificates, and pip's settings as far as they mean something elsewhere.
machine_settings() {  # CONTEXT FOLDER
  cp /etc/ssl/certs/ca-certificates.crt "$1/ca-certificates.crt"
  {
    echo "[global]"
    python3 -m pip config list 2> /dev/null | sed -nE "s/^(global\.|:env:\.)(index-url|trusted-host|proxy|timeout|default-timeout)='([^']*)'$/\2 = \3/p" | sed 's/^default-timeout/timeout/' | sort -u
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
  } > "$1/pip.conf"
  # uv does not read pip's settings.
  sed -nE 's/^index-url = (.*)/[[index]]\nurl = "\1"\ndefault = true/p' "$1/pip.conf" > "$1/uv.toml"
}

build_stand_ins() {
  local name image jobs=()
  import_debian "$own_suite" stand-in-debian:$own_suite python3.11,python3.11-venv,ca-certificates,curl,dumb-init,redis-server & jobs+=($!)
  import_debian "$engine_suite" stand-in-debian:$engine_suite postgresql-17 & jobs+=($!)
  all_done "${jobs[@]}"
  for name in airflow postgres redis; do
    mkdir -p "$root/contexts/$name"
    cp "$here/stand_ins/$name"/* "$root/contexts/$name/"
    if [ "$name" = airflow ]; then machine_settings "$root/contexts/$name"; fi
    image=$(sed -nE 's/^# Stands in for ([^ ]+)\.$/\1/p' "$here/stand_ins/$name/Dockerfile")
    docker build --quiet --tag "$image" "$root/contexts/$name" > /dev/null
    say "stand-in for $image made from Debian's packages: it proves the project's files, not the real image"
  done
}

start() {
  [ "$(id -u)" = 0 ] || fail "An engine can only be made by root. Install Docker instead, and run the command again."
  grep -q "$own_suite" /etc/os-release || fail "An engine can only be made on Debian 12 ($own_suite). Install Docker instead."
  # shellcheck disable=SC2086
  dpkg-query --show $needed_packages > /dev/null 2>&1 || fail "Packages are missing. Run: apt-get install $needed_packages"
  mkdir -p "$root"
  local began=$SECONDS
  install_programs
  say "programs unpacked after $((SECONDS - began)) s"
  start_engine
  build_stand_ins
  say "ready after $((SECONDS - began)) s"
}

# Links that only an engine makes: its own bridge, and one for each network of a deployment that nobody took down.
bridges() { ip -brief link | grep -oE '^(docker0|br-[0-9a-f]{12})\b' || true; }

# What runs out of FOLDER, and what is mounted in it.
own_processes() {
  local process
  for process in /proc/[0-9]*; do
    case $(readlink "$process/exe") in "$root"/*) echo "${process#/proc/}" ;; esac
  done
}
own_mounts() { awk -v root="$root/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r; }

stop_engine() {
  local pid waited
  # `stop` of a container may wait for its tasks for ten minutes; whoever ends the engine does not want to.
  docker ps --all --quiet 2> /dev/null | xargs --no-run-if-empty docker rm --force > /dev/null || true
  pid=$(cat "$root/docker.pid")
  kill "$pid" 2> /dev/null || true
  for waited in $(seq 120); do
    if ! kill -0 "$pid" 2> /dev/null; then return; fi
    sleep 0.5
  done
  say "the engine (process $pid) did not end within a minute and is killed"
  kill -9 "$pid"
}

restore_network() {
  local name program table
  for name in $(bridges); do
    if ! grep -qx "$name" "$root/bridges.before"; then ip link delete "$name"; fi
  done
  for program in iptables ip6tables; do
    # Where there was no rule before, there is nothing to restore: the engine's own are removed.
    for table in filter nat; do "$program" -t "$table" -F && "$program" -t "$table" -X; done
    "$program" -P FORWARD ACCEPT
    "$program-restore" < "$root/$program.before"
  done
  cat "$root/ip_forward.before" > /proc/sys/net/ipv4/ip_forward
  for program in iptables ip6tables; do
    diff <(rules < "$root/$program.before") <("$program-save" | rules) || fail "The rules of $program are not those of before."
  done
  diff "$root/bridges.before" <(bridges) || fail "The bridges of the network are not those of before."
}

# Rules and closed policies, without counters: empty tables that let everything through are as good as none.
rules() { grep -E '^(-A|:[A-Z]+ DROP)' | sed -E 's/ \[[0-9:]+\]//' | sort; }

stop() {
  local pid mounted
  if [ -s "$root/docker.pid" ]; then stop_engine; fi
  # What a killed engine left behind; its own id names each.
  for pid in $(own_processes); do kill -9 "$pid" 2> /dev/null || true; done
  if [ -e "$root/ip_forward.before" ]; then restore_network; fi
  own_mounts | while read -r mounted; do umount "$mounted"; done
  [ -z "$(own_mounts)$(own_processes)" ] || fail "Left in $root: $(own_mounts) $(own_processes)"
  rm -rf "$root"
  say "ended, $root removed, the network as before"
}

usage="Usage: $0 start|stop FOLDER, or $0 needs"
if [ "${1:-}" = needs ]; then
  echo "$needed_packages"
  exit
fi
[ $# = 2 ] || fail "$usage"
root=$(realpath -m "$2")
export PATH="$root/bin:$PATH" DOCKER_HOST="unix://$root/docker.sock" DOCKER_CONFIG="$root/client"
case $1 in
  start) start ;;
  stop) stop ;;
  *) fail "$usage" ;;
esac
