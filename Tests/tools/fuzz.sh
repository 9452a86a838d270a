#!/bin/sh
# Build each Tests/Fuzz/fuzz_*.c with the core under libFuzzer, address and undefined-behaviour sanitizers and run it for SECONDS
# from its committed corpus: fuzz.sh SECONDS [target ...]. New inputs stay in .build-fuzz/corpus; a finding is left in .build-fuzz.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?seconds}
shift
mkdir -p .build-fuzz
[ $# -gt 0 ] || set -- $(find Tests/Fuzz -name 'fuzz_*.c' -exec basename {} .c \; 2>/dev/null | sort)
core=$(find CSources/CProxyCore -name '*.c' | sort)
passed=0
for target; do
    # shellcheck disable=SC2086
    # gold, the toolchain's default linker, warns about every sanitizer symbol.
    clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fuse-ld=bfd \
        -ICSources/CProxyCore $core "Tests/Fuzz/$target.c" -pthread -o ".build-fuzz/$target"
    mkdir -p ".build-fuzz/corpus/$target" "Tests/Fuzz/corpus/$target"
    if ! ".build-fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -seed=1 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix=".build-fuzz/$target-" ".build-fuzz/corpus/$target" "Tests/Fuzz/corpus/$target" \
        >".build-fuzz/$target.log" 2>&1; then
        tail -60 ".build-fuzz/$target.log"
        echo "$target: failed, see .build-fuzz/$target.log"
        exit 1
    fi
    echo "$target: $(awk '/number_of_executed_units/ { print $2 }' ".build-fuzz/$target.log") inputs, no finding"
    passed=$((passed + 1))
done
echo "$passed passed, 0 failed"
