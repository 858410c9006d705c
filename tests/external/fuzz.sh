#!/usr/bin/env bash
# The targets of fuzz/ under libFuzzer and the address sanitizer, on nightly, each for so many seconds from
# the committed seeds and what earlier runs have found. What fails is left in fuzz/artifacts. One command; installs what it
# needs (as root, from Debian's packages and crates.io).
#
#     tests/external/fuzz.sh [SECONDS [TARGET ...]]
set -euo pipefail
. "$(dirname "$0")/tools.sh"
seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(plans views backward c_abi csv)
need g++
need_nightly
need_cargo_fuzz
# That a size which no memory has is refused, and not fatal.
export ASAN_OPTIONS=allocator_may_return_null=1
# Several units of code: cargo-fuzz' one is compiled by one processor.
export flags="--codegen-units 16 --target-dir $CARGO_TARGET_DIR/fuzz"
cargo +nightly fuzz build $flags

# One target, on one processor. Longer inputs would be larger networks, not other ones.
fuzz() {
  local target=$1 log=fuzz/artifacts/$1.log TIMEFORMAT="$1: %U s of a processor"
  mkdir -p "fuzz/corpus/$target" fuzz/artifacts
  if ! time cargo +nightly fuzz run $flags "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$2" -max_len=2048 -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 > "$log" 2>&1; then
    tail -n 80 "$log" >&2
    echo "fuzz: $target failed" >&2
    return 1
  fi
  echo "$target: $(grep '^Done' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -euc "fuzz {} $seconds"
echo "fuzz: passed"
