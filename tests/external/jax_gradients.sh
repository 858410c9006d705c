#!/usr/bin/env bash
# jax_gradients.py over the C library: the gradients of random networks against JAX in float64. One command; installs what it
# needs in an environment of its own under the target directory (from PyPI).
#
#     tests/external/jax_gradients.sh [NETWORKS]
set -euo pipefail
. "$(dirname "$0")/tools.sh"
need gcc python3
jax=$CARGO_TARGET_DIR/jax
if ! "$jax/bin/python" -c 'import jax' 2> /dev/null; then
  environment "$jax"
  "$jax/bin/pip" install --quiet jax
fi
cargo rustc --release -p nablas-capi --lib --crate-type cdylib
JAX_PLATFORMS=cpu "$jax/bin/python" tests/external/jax_gradients.py "$CARGO_TARGET_DIR/release/libnablas_capi.so" "$@"
