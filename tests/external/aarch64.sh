#!/usr/bin/env bash
# NEON, on a machine without it: the suites of the kernels, tests/golden.rs, guard.rs and trained.rs, cross-built, in qemu's
# emulation of a process. The committed lines and hashes are those of x86-64, so the bits are the same on NEON and on the
# scalar code of both machines. One command; installs what it needs (as root, from Debian's packages, and the target's
# standard library by rustup).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
if [ "$(uname -m)" != x86_64 ]; then
  echo "aarch64: skipped, the cross compiler is for x86-64 and this is $(uname -m) (on aarch64 itself cargo test does it)"
  exit 0
fi
target=aarch64-unknown-linux-gnu
need aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu qemu-aarch64:qemu-user
need_file /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
[ -d "$(rustc --print target-libdir --target $target)" ] || rustup target add $target
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
cargo test -p nablas-kernels --lib --tests --target $target
# Cases of little work, with one member and two; operands that end at inaccessible pages.
NABLAS_GOLDEN=small cargo test -p nablas --test golden --test guard --test trained --target $target
echo "aarch64: passed"
