#!/usr/bin/env bash
# The feature `cblas` with Debian's OpenBLAS and with its BLIS: each is linked, and its products are held against the oracle of
# tests/backend.rs. One command; installs what it needs (as root, from Debian's packages).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
need gcc
libraries=/usr/lib/$(gcc -print-multiarch)
need_file "$libraries/libopenblas.so" libopenblas-dev
need_file "$libraries/libblis.so" libblis-dev
# The plan's threads are enough.
export OPENBLAS_NUM_THREADS=1 BLIS_NUM_THREADS=1
for library in openblas blis; do
  export NABLAS_CBLAS_LIB=$library
  cargo test --workspace --features nablas/cblas --test backend
  program=$(cargo test --workspace --features nablas/cblas --test backend --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*backend-[^"]*\)".*/\1/p')
  # That it is this library which is linked.
  ldd "$program" | grep "lib$library"
done
