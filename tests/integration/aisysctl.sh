#!/usr/bin/env bash
# aisysctl against a real node on free ports: what a new user types, and what goes wrong.
#
# usage: tests/integration/aisysctl.sh SOURCE_ROOT AISYSCTL AISYS_RUNTIME
set -u

root=$1 ctl=$2 runtime=$3
failed=0
dir=$(mktemp -d) || exit 1
node=
clean_up() {
    [ -n "$node" ] && kill "$node" 2>/dev/null && wait "$node"
    rm -rf "$dir"
}
trap clean_up EXIT
for name in $(env | sed -n 's/^\(AI_[A-Z_0-9]*\)=.*/\1/p') ENVIRONMENT; do
    unset "$name"
done

fail() {
    printf '%s\n' "$*"
    sed 's/^/    /' "$dir/out" "$dir/err"
    failed=1
}

# try EXIT_CODE ARGUMENT...: run aisysctl; its output is in $dir/out and $dir/err.
try() {
    local want=$1 got
    shift
    timeout 60 "$ctl" --to "$to" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ $got = "$want" ] || fail "aisysctl $*: exit $got, not $want"
}

# says PATTERN..., complains PATTERN...: each is in the output (errors) of the last try.
says() {
    local pattern
    for pattern in "$@"; do
        grep -q -e "$pattern" "$dir/out" || fail "not in the output: $pattern"
    done
}
complains() {
    local pattern
    for pattern in "$@"; do
        grep -q -e "$pattern" "$dir/err" || fail "not in the errors: $pattern"
    done
}

to=ipc://$dir/nobody.sock
try 69 ps
complains "no node at ipc://$dir/nobody.sock" 'aisys-runtime --role' '--to URL'

"$runtime" --config-dir "$root/config" --role pc2 --set data.dir="$dir/data" \
    --set network.request_port=0 --set network.port=0 --set network.events_port=0 \
    --set monitoring.port=0 2>"$dir/log" &
node=$!
for _ in $(seq 6000); do
    grep -q ' ready ' "$dir/log" && break
    kill -0 $node 2>/dev/null || break
    sleep 0.01
done
to=$(sed -n 's/.* ready .*request=\([^ ]*\).*/\1/p' "$dir/log")
[ -n "$to" ] || {
    cat "$dir/log"
    echo "the node did not start"
    exit 1
}

try 0 ps
says '^ACTOR  *STATE  *HEALTH  *QUEUE' '^orchestrator  *running  *HEALTHY' '^cache_manager  *running'
try 0 ps --all --json
says '^{"actors":\[{"name":"'
try 0 health
says '^HEALTHY  node pc2, role pc2' 'Redis Connection  *SKIPPED'
try 0 health --json
says '"status":"HEALTHY"'

try 0 describe memory_orchestrator
says 'service  *aisys\.' '^Search$' 'query  a string' '^Configuration$'
try 0 describe memory_orchestrator Store
says '^Store$' 'text  a string of 1 to 65536 bytes, required'
try 1 describe memory_orchestrator Stor
complains 'has no method Stor; it has: .*Store'
try 1 describe memory_orchestratr
complains 'NOT_FOUND' 'did you mean'

try 0 call memory_orchestrator Store text='The spare key is in the blue drawer' kind=knowledge \
    tags=home tags=keys,spare
says '^id: '
try 0 call memory_orchestrator Search query='where is the key' k=3
says 'text:  *The spare key is in the blue drawer' '- keys,spare'
try 0 --json call memory_orchestrator Search query='where is the key'
says '^{"hits":\[{"memory":{'
try 1 call memory_orchestrator Search k=0 mode=FAST
complains 'INVALID_ARGUMENT' '  k: .*expected an integer from 1 to 1000' '  mode: '
try 64 call memory_orchestrator Search qurey=x
complains 'qurey: unknown field, did you mean "query"'
try 1 call memory_orchestrator Get id=999999
complains 'NOT_FOUND'
try 1 call memory_orchestrator Find
complains 'UNIMPLEMENTED'
try 1 call nobody Find x=1
complains 'NOT_FOUND'
echo '{"query":"key","k":1}' | timeout 60 "$ctl" --to "$to" call memory_orchestrator Search - \
    >"$dir/out" 2>"$dir/err" || fail "a request on standard input failed"
says 'blue drawer'

try 0 call vision_processing Analyze image=@"$root/tests/data/receipt.png" want=INFO,HASH
says 'format: *PNG' 'hash: *[0-9a-f]\{16\}$'
try 64 call vision_processing Analyze image=@"$dir/nothing.png"
complains 'image: .*nothing.png: No such file'
try 0 call cache_manager Set namespace=n key=k value=@@home
says '^done$'
try 0 call cache_manager Get namespace=n key=k
says 'value: *@home$'
try 0 --json call cache_manager Get namespace=n key=k
says '"value":"QGhvbWU="'

try 0 config print
says '^# role pc2' '^network:$' 'request_port: 0  *# --set'
try 0 completion actors
says '^memory_orchestrator$'
try 0 completion methods cache_manager
says '^Set$'

timeout 60 "$ctl" config check --config-dir "$root/config" --role pc2 >"$dir/out" 2>"$dir/err" ||
    fail "config check failed"
timeout 60 "$ctl" config check --config-dir "$root/config" --role pc2 --set redis.prot=3 \
    >"$dir/out" 2>"$dir/err"
[ $? = 78 ] || fail "config check took a wrong key"
complains 'did you mean "port"'
timeout 60 "$ctl" config schema --config-dir "$root/config" --role pc2 >"$dir/out" 2>"$dir/err" ||
    fail "config schema failed"
says '"\$schema"'

try 64 bench no_such_figure
complains "no benchmark is called 'no_such_figure'; there are: ping_pong"
try 0 bench start_ms --json
says '^{"name":"start_ms","unit":"ms","median":[0-9.]*,"min":[0-9.]*,"max":[0-9.]*,"runs":11,"limit"'

# 19 MiB make more than 24 MiB of base64.
head -c 19922944 /dev/zero >"$dir/large"
try 64 call vision_processing Analyze image=@"$dir/large"
complains 'the request has 265[0-9]* bytes; a door takes at most 25165824'
head -c 30000000 /dev/zero >"$dir/large"
try 64 call vision_processing Analyze image=@"$dir/large"
complains 'image: .*large: File too large'

# A node that has stopped to listen: the deadline holds.
kill -STOP $node
try 75 --deadline 50 ps
complains 'no answer from .* within 50 ms'
kill -CONT $node

kill $node
wait $node || {
    fail "the node did not stop well"
    cat "$dir/log"
}
node=
try 69 ps
[ $failed = 0 ]
