#!/usr/bin/env bash
# The modules for candle and burn, packages with a workspace and a lock file of their own: format, lints, tests, examples
# and one round of each benchmark. One command; it needs cargo alone, of Rust 1.95 or newer, which burn wants. Everything
# is built once, in the profile of the tests.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
# Not the folder of the main workspace: other features of the same crates would be built in turns.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR%/}/integrations
cd "$root/integrations"

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo test --workspace --lib --tests --benches --locked
cargo test --workspace --doc --locked

echo "--- examples"
# All packages at once, so that nothing is built anew for other features.
cargo build --workspace --examples --locked
for package in candle burn; do
  "$CARGO_TARGET_DIR/debug/examples/${package}_digits" --epochs 6 | tee "$CARGO_TARGET_DIR/output"
  grep -q '^test accuracy 0.[89]' "$CARGO_TARGET_DIR/output"
  "$CARGO_TARGET_DIR/debug/examples/${package}_policy" 25 | tee "$CARGO_TARGET_DIR/output"
  # It begins with twenty pushes.
  awk '/^mean length/ {found = $3 > 35} END {exit !found}' "$CARGO_TARGET_DIR/output"
done
echo "integrations: passed"
