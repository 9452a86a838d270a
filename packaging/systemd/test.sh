#!/bin/sh
# Try proxy.service, its hardening included, under a systemd of its own: a new process 1 in namespaces of its own, which sees this
# machine's files and nothing of its services. Needs root, systemd and a writable cgroup hierarchy named systemd. Programs: ./proxy and
# ./restarter, or $PROXY and $RESTARTER. Prints what it checked; exit 0 if all was well, 77 if it cannot be tried here.
set -eu
cd "$(dirname "$0")/../.."
export PROXY="${PROXY:-$PWD/proxy}" RESTARTER="${RESTARTER:-$PWD/restarter}" UNIT="$PWD/packaging/systemd/proxy.service"
export BAD="${BAD:-static_resources: { listenerz: [] \}}"
cgroup=/sys/fs/cgroup/systemd
runtime=/run/proxy-unit-test

# The new process 1: a /run of its own with the unit in it, and nothing else to start.
inside() {
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 none /run
    mkdir -p $runtime /run/systemd/system /run/lock
    cp "$PROXY" $runtime/proxy
    cp "$RESTARTER" $runtime/restarter
    cp "$SCRIPT" $runtime/test.sh
    echo "${GOOD:-admin: { address: { socket_address: { address: 127.0.0.1, port_value: 26499 } } }}" >$runtime/proxy.yaml
    chmod 755 $runtime/proxy $runtime/restarter
    sed -e "s#/usr/bin/#$runtime/#; s#/etc/proxy/proxy.yaml#$runtime/proxy.yaml#; s/^User=.*/User=nobody/; s/^Group=.*/Group=nogroup/" \
        -e '/^After=/d; /^Wants=/d; s/^\[Unit\]/[Unit]\nDefaultDependencies=no/' \
        -e "s#^\[Service\]#[Service]\nStandardError=append:$LOG\nEnvironment=PROXY_OPTIONS=--base-id=26499 PROXY_IDENTITY=--base-id=26499#" \
        "$UNIT" >/run/systemd/system/proxy.service
    printf '[Unit]\nDefaultDependencies=no\nWants=test.service\n' >/run/systemd/system/test.target
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nEnvironment="BAD=%s"\nExecStart=/bin/sh %s drive\nStandardOutput=append:%s\nStandardError=append:%s\n' \
        "$BAD" $runtime/test.sh "$RESULT" "$RESULT" >/run/systemd/system/test.service
    umount $cgroup
    mount -t cgroup -o none,name=systemd cgroup $cgroup
    exec env container=test /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=null
}

expect() {
    if printf '%s' "$2" | grep -qE "$3"; then echo "ok      $1"; else echo "FAILED  $1: no '$3' in: $2"; fi
}
unit() { systemctl show -P "$1" proxy.service; }

# A command of this process 1.
drive() {
    systemctl start proxy.service && expect "starts" "$(unit ActiveState)" '^active$'
    main=$(unit MainPID)
    expect "says who serves" "$(unit StatusText)" 'generation 0 serves'
    expect "runs as its user" "$(stat -c %U "/proc/$main")" '^nobody$'
    expect "root sees it" "$($runtime/restarter status --base-id 26499)" 'serving'
    systemctl reload proxy.service && expect "reloads" "$(unit StatusText)" 'generation 1 serves'
    expect "keeps its main process" "$(unit MainPID)" "^$main\$"
    cp $runtime/proxy.yaml $runtime/good.yaml
    echo "$BAD" >$runtime/proxy.yaml
    systemctl reload proxy.service 2>&1 && echo "FAILED  a bad file is accepted"
    expect "serves on after a bad file" "$(unit StatusText)" 'generation 1 serves.*the last restart failed: check'
    cp $runtime/good.yaml $runtime/proxy.yaml
    for pid in $(cat "/proc/$main/task/$main/children"); do kill -KILL "$pid"; done
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        unit StatusText | grep -qE 'generation [0-9]+ serves' && break
    done
    expect "replaces a killed generation" "$(unit StatusText)" 'generation [0-9]+ serves'
    expect "stays active" "$(unit ActiveState)$(unit NRestarts)" '^active0$'
    # With the supervisor the whole unit is killed; the next one finds the listening sockets, and the epoch, with systemd.
    kill -KILL "$main"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        [ "$(unit MainPID)" != "$main" ] && unit StatusText | grep -qE 'generation [0-9]+ serves' && break
    done
    expect "a killed supervisor is replaced" "$(unit NRestarts)" '^1$'
    expect "its replacement goes on with the kept sockets" "$(unit StatusText)" 'generation [1-9][0-9]* serves'
    systemctl stop proxy.service && expect "stops" "$(unit ActiveState)/$(unit Result)" '^inactive/success$'
    systemctl --no-block exit
}

case "${1:-}" in
    inside) inside ;;
    drive) drive; exit ;;
esac

[ "$(id -u)" = 0 ] && [ -w $cgroup/cgroup.procs ] && [ -x /lib/systemd/systemd ] || { echo "cannot be tried here"; exit 77; }
SCRIPT="$PWD/packaging/systemd/test.sh"
RESULT=$(mktemp /tmp/proxy-unit-XXXXXX)
LOG=$RESULT.log
export SCRIPT RESULT LOG
: >"$LOG"
chmod 666 "$LOG"
group=$cgroup/proxy-unit-test-$$
mkdir $group
sh -c "echo 0 > $group/cgroup.procs; exec timeout -k 2 60 unshare --cgroup --mount --pid --fork --kill-child --mount-proc --ipc sh '$SCRIPT' inside" ||
    echo "FAILED  process 1 ended with $?" >>"$RESULT"
find $group -depth -type d -exec rmdir {} + 2>/dev/null || true
cat "$RESULT"
grep -q '^ok      stops' "$RESULT" && ! grep -q '^FAILED' "$RESULT" && result=0 || { result=1; cat "$LOG"; }
rm -f "$RESULT" "$LOG"
exit $result
