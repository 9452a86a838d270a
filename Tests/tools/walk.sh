#!/bin/bash
# What README.md promises, walked through with the released programs: the first minute by hand, an editing session under the supervisor,
# the commands of its table. Ports, base id and directory are its own; every wait has a deadline. Prints 'N passed, N failed'.
# Programs: ./proxy and ./restarter, or $PROXY_BINARY and $RESTARTER_BINARY.
set -u
shopt -s lastpipe
[ "${WALK_BOUNDED:-}" ] || WALK_BOUNDED=1 exec timeout --kill-after=5 "${WALK_SECONDS:-120}" "$0" "$@"
cd "$(dirname "$0")/../.." || exit 1
proxy=$(realpath "${PROXY_BINARY:-./proxy}")
restarter=$(realpath "${RESTARTER_BINARY:-./restarter}")
readme=$PWD/README.md
directory=$(mktemp -d "${TMPDIR:-/tmp}/walk-XXXXXX")
base=$((RANDOM + 100000))
identity="--base-id $base"
cd "$directory" || exit 1

passed=0
failed=0
clean_up() {
    # shellcheck disable=SC2086
    timeout 20 "$restarter" stop --timeout-s 5 $identity >/dev/null 2>&1
    cd / && rm -rf "$directory"
}
trap clean_up EXIT

# expect NAME PATTERN: the text on standard input has a line that matches.
expect() {
    local text
    text=$(cat)
    if grep -qE -- "$2" <<<"$text"; then passed=$((passed + 1)) && return; fi
    failed=$((failed + 1))
    printf 'FAILED  %s: no line matches %s in\n%s\n' "$1" "$2" "$text"
}
# expect_exit NAME CODE COMMAND...: output goes to out.
expect_exit() {
    local name=$1 wanted=$2 code
    shift 2
    timeout 30 "$@" >out 2>&1 </dev/null
    code=$?
    [ "$code" = "$wanted" ] && passed=$((passed + 1)) && return
    failed=$((failed + 1))
    printf 'FAILED  %s: exit code %s, not %s:\n%s\n' "$name" "$code" "$wanted" "$(cat out)"
}
# expect_status NAME PATTERN...: within 20 s one status has a line for each pattern; it is left in out.
expect_status() {
    local name=$1 pattern missing
    shift
    for _ in $(seq 200); do
        # shellcheck disable=SC2086
        timeout 5 "$restarter" status $identity >out 2>&1
        missing=
        for pattern; do grep -qE -- "$pattern" out || missing=$pattern; done
        [ "$missing" ] || break
        sleep 0.1
    done
    expect "$name" "${missing:-$1}" <out
}
# expect_log NAME PATTERN FILE: within 20 s.
expect_log() {
    for _ in $(seq 200); do
        grep -qE -- "$2" "$3" && break
        sleep 0.1
    done
    expect "$1" "$2" <"$3"
}
free_port() {
    while :; do
        local port=$((20000 + RANDOM % 10000))
        (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port && return; }
    done
}
# say FD TEXT: an echo client; prints what comes back within 5 s.
say() {
    printf '%s\n' "$2" >&"$1"
    local line=
    IFS= read -r -t 5 -u "$1" line
    echo "$line"
}
get() {
    exec 8<>"/dev/tcp/127.0.0.1/$admin" || return
    printf 'GET %s HTTP/1.1\r\nHost: walk\r\nConnection: close\r\n\r\n' "$1" >&8
    timeout 5 cat <&8
    exec 8>&-
}

first=$(free_port)
second=$(free_port)
admin=$(free_port)
cat >proxy.yaml <<YAML
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: $admin } }
static_resources:
  listeners:
  - name: echo
    address: { socket_address: { address: 127.0.0.1, port_value: $first } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.echo
        typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo }
YAML

echo "== the first minute"
# shellcheck disable=SC2086
{
    expect_exit "nothing runs" 69 "$restarter" status $identity
    "$proxy" -c proxy.yaml $identity 2>first.log &
    expect_status "status of a first start" 'generation 0' '^first start   0 ok in'
    exec 3<>"/dev/tcp/127.0.0.1/$first"
    say 3 hello | expect "a line comes back" '^hello$'
    "$proxy" --restart-epoch $identity 2>second.log 3>&- &
    expect_status "the next generation serves; the old one drains, and its connection is counted; the verdict" \
        'generation 1,' '^ +1 +[0-9]+ +serving' '^ +0 +[0-9]+ +draining +1 .*1[56]m' '^last restart  0 → 1 ok in '
    expect "the configuration is the serving one's" "^config        .*/proxy.yaml, hash" <out
    expect_log "the new one's log" 'hot restart done: serving .*listeners.kept=1 .*connections.draining=1' second.log
    expect_log "the old one's log" 'generation 1 took over; draining' first.log
    say 3 "still here" | expect "the open connection still answers" '^still here$'
    exec 4<>"/dev/tcp/127.0.0.1/$first"
    say 4 new | expect "a new connection is answered" '^new$'
    exec 4>&-
    get /stats | expect "counters go on" '^listener\.127\.0\.0\.1_[0-9]+\.downstream_cx_total: 2'
    get /generations | expect "/generations" '"serving_epoch": 1'
    get /restart_report | expect "/restart_report" '"result": "ok"'
    expect_exit "a second start by mistake" 1 "$proxy" -c proxy.yaml $identity
    expect "names who serves" 'serves already, with epoch 1  \[PX-R024\]' <out
    exec 3>&-
    for _ in $(seq 150); do
        "$restarter" status $identity >out
        grep -q draining out || break
        sleep 0.1
    done
    expect "the old one leaves when its connection ends" '^ +1 +[0-9]+ +serving' <out
    grep -c draining <out | expect "and is not shown any more" '^0$'
    expect_exit "stop" 0 "$restarter" stop $identity
    expect "stop says what became of whom" '^generation 1, pid [0-9]+: ended after' <out
    expect_exit "nothing runs any more" 69 "$restarter" status $identity
    wait
}

echo "== an editing session"
# shellcheck disable=SC2086
{
    "$restarter" start --config-path proxy.yaml $identity >supervisor.log 2>&1 &
    expect_status "the supervisor is shown" 'generation 0' '^supervisor    pid [0-9]+, up .*, idle'
    exec 3<>"/dev/tcp/127.0.0.1/$first"
    say 3 hello | expect "a line comes back" '^hello$'
    sed -i "s/port_value: $first/port_value: $second/" proxy.yaml
    expect_exit "a restart after an edit" 0 "$restarter" restart $identity
    for line in '^restart  from generation 0, pid ' '^  check          ok .*configuration .*proxy.yaml. OK' '^  load           ok ' \
        '^  hello          ok ' '^  inherit        ok .*listening socket' '^  open           ok ' '^  take over      ok ' \
        '^  serving        ok .*generation 1, pid [0-9]+; listeners: ' '^  drain +1 connection left; `restarter status`'; do
        expect "the steps of a restart" "$line" <out
    done
    exec 4<>"/dev/tcp/127.0.0.1/$second"
    say 4 new | expect "the new address answers" '^new$'
    say 3 old | expect "the open connection still answers" '^old$'
    sed -i "s/port_value: $second/port: $second/" proxy.yaml
    expect_exit "a bad edit" 1 "$restarter" restart $identity
    expect "says where" "proxy.yaml:6:[0-9]+: error: unknown field 'port' in socket_address  \[PX-C012\]" <out
    expect "says what to write" "did you mean 'port_value'\?" <out
    expect "says that nothing has changed" '^Generation 1, pid [0-9]+, serves on\.' <out
    say 4 again | expect "and nothing has" '^again$'
    expect_exit "status after a bad edit" 0 "$restarter" status $identity
    expect "remembers it" '^last restart  1 → 2 failed, .*step check: the configuration is invalid' <out
    expect_exit "check" 1 "$restarter" check proxy.yaml
    expect_exit "drain needs --now" 64 "$restarter" drain $identity
    expect_exit "drain --now" 0 "$restarter" drain --now $identity
    expect_exit "stop" 0 "$restarter" stop $identity
    expect "stop ends the supervisor too" '^supervisor, pid [0-9]+: ended after' <out
    exec 3>&- 4>&-
    wait
}

echo "== commands"
for command in start restart status drain stop check explain; do
    grep -q "^| \`restarter $command" "$readme" || echo "README.md does not list $command" | expect "$command is listed" '^$'
    expect_exit "$command --help" 0 "$restarter" $command --help
done
expect_exit "explain" 0 "$restarter" explain PX-C012
expect "explains" '^What to do: ' <out
expect_exit "the embedded example is valid" 0 "$proxy" --mode validate
expect_exit "a mistyped command" 64 "$restarter" restrat
expect "gets a suggestion" "did you mean 'restart'\?" <out
expect_exit "the protocol's version" 0 "$proxy" --hot-restart-version
expect "is printed" '^[0-9]+\.[0-9a-f]+$' <out
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
