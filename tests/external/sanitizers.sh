#!/usr/bin/env bash
# The suites under the address sanitizer (whose leak checker is on) and the thread sanitizer, on nightly, the standard library
# built anew for the latter. With `kernels`, the kernels' suites under the first alone. One command; installs what it needs.
#
#     tests/external/sanitizers.sh [kernels | address | thread]
set -euo pipefail
. "$(dirname "$0")/tools.sh"
what=${1:-all}
case $what in
  all | kernels | address | thread) ;;
  *)
    echo "sanitizers: no part is called $what" >&2
    exit 2
    ;;
esac
need_nightly
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# That a size which no memory has is refused, and not fatal.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1
symbols="-C symbol-mangling-version=v0"

# The suites of packages; a target named, so that build scripts and macros are not built so. Not the processes whose memory
# and threads are limited: there the sanitizer has none. Nor what counts a process' memory: it keeps what was freed.
address() {
  RUSTFLAGS="-Z sanitizer=address $symbols" cargo +nightly test --target "$host" --lib --tests --no-fail-fast "$@" -- \
    --skip cannot_be_ --skip eight_threads
}

if [ "$what" = kernels ]; then
  address -p nablas-kernels
fi
if [ "$what" = all ] || [ "$what" = address ]; then
  address -p nablas-kernels -p nablas -p nablas-capi
fi
if [ "$what" = all ] || [ "$what" = thread ]; then
  [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src" ] || rustup component add rust-src --toolchain nightly
  # The queues of rayon know of the sanitizer, which does not know of fences: for it, crossbeam-epoch lists its threads in a
  # vector, so what counts allocations counts these. A child of a fork of several threads is no program that it can follow.
  export TSAN_OPTIONS=history_size=5:allocator_may_return_null=1
  RUSTFLAGS="-Z sanitizer=thread --cfg crossbeam_sanitize_thread $symbols" cargo +nightly test -Z build-std --target "$host" \
    -p nablas -p nablas-capi --lib --tests --no-fail-fast -- --skip fork --skip children_call --skip cannot_be_ \
    --skip eight_threads --skip allocat
fi
echo "sanitizers: passed ($what)"
