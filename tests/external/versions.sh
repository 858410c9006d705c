#!/usr/bin/env bash
# That the library builds with the oldest Rust that its manifests promise, and with the oldest releases of what it depends
# on that they allow. One command; installs the toolchains (by rustup).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
installed() { rustup toolchain list | grep -o "^$oldest[^ ]*" | head -n 1; }
[ -n "$(installed)" ] || rustup toolchain install "$oldest" --profile minimal
toolchain=$(installed)
need_nightly
all() {
  cargo "+$toolchain" check --locked -p nablas-kernels -p nablas -p nablas-capi
  cargo "+$toolchain" check --locked -p nablas --features ndarray,faer
  cargo "+$toolchain" check --locked -p nablas --no-default-features
}
all
echo "--- the oldest dependencies"
# In a copy, whose lock file is another.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
cargo +nightly update -q -Z direct-minimal-versions
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/minimal
all
echo "versions: passed ($oldest)"
