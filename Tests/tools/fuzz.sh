#!/bin/sh
# Build each Tests/Fuzz/fuzz_*.c with the core under libFuzzer, address and undefined-behaviour sanitizers and run it for SECONDS
# from its committed corpus: fuzz.sh SECONDS [target ...]. New inputs stay in .build-fuzz/corpus; a finding is left in .build-fuzz.
# What a target needs beside its one file is in a directory of its name; every __wrap_… of a target replaces the function for the linker.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?seconds}
shift
[ $# -gt 0 ] || set -- $(find Tests/Fuzz -maxdepth 1 -name 'fuzz_*.c' -exec basename {} .c \; | sort)
flags="-std=gnu17 -D_GNU_SOURCE -DDEBUG=1 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -ICSources/CProxyCore -ITests/Fuzz"
mkdir -p .build-fuzz/core
rm -f .build-fuzz/core/*.o
find CSources/CProxyCore -name '*.c' |
    xargs -P "$(nproc)" -I{} sh -c 'clang $1 -fsanitize=fuzzer-no-link -c "$2" -o ".build-fuzz/core/$(echo "$2" | tr / _).o"' sh "$flags" {}
passed=0
for target; do
    own=$(find "Tests/Fuzz/$target" -name '*.c' 2>/dev/null || true)
    # shellcheck disable=SC2086
    wrapped=$(sed -n 's/^.*__wrap_\([a-z0-9_]*\)(.*;$/-Wl,--wrap=\1/p' "Tests/Fuzz/$target.c" $own | sort -u)
    # shellcheck disable=SC2086
    # gold, the toolchain's default linker, warns about every sanitizer symbol.
    clang $flags -fsanitize=fuzzer -fuse-ld=bfd $wrapped .build-fuzz/core/*.o "Tests/Fuzz/$target.c" $own -pthread -o ".build-fuzz/$target"
    mkdir -p ".build-fuzz/corpus/$target" "Tests/Fuzz/corpus/$target"
    status=0
    ".build-fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -seed=1 -print_final_stats=1 \
        -artifact_prefix=".build-fuzz/$target-" ".build-fuzz/corpus/$target" "Tests/Fuzz/corpus/$target" \
        >".build-fuzz/$target.log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        grep -v "^#" ".build-fuzz/$target.log" | tail -60
        echo "$target: failed with status $status, see .build-fuzz/$target.log"
        exit 1
    fi
    awk -v target="$target" '/ cov: / { covered = $0 } /number_of_executed_units/ { count = $2 } END {
        sub(/.* cov: /, "", covered); split(covered, words); print target ": " count " inputs, " words[1] " edges, " words[3] " features, no finding"
    }' ".build-fuzz/$target.log"
    passed=$((passed + 1))
done
echo "$passed passed, 0 failed"
