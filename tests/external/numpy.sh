#!/usr/bin/env bash
# NumPy's and SciPy's own linear-algebra tests (Debian's packages, which call a BLAS by its plain names) over the reference
# BLAS, without and with our GEMMs interposed: what passes without must pass with. One command; installs what it needs (as
# root, from Debian's packages).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
need gcc
python=/usr/bin/python3
packages=/usr/lib/python3/dist-packages
need_file "$packages/numpy" python3-numpy
need_file "$packages/scipy" python3-scipy
need_file "$packages/pytest" python3-pytest
need_file "$packages/hypothesis" python3-hypothesis
blas=/usr/lib/$(gcc -print-multiarch)/blas
need_file "$blas/libblas.so.3" libblas3
cargo build --release -p nablas-blas
library=$CARGO_TARGET_DIR/release/libnablas_blas.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LD_LIBRARY_PATH=$blas PYTHONDONTWRITEBYTECODE=1

# That NumPy and SciPy call us at all.
LD_PRELOAD=$library LD_DEBUG=bindings $python -c 'import numpy, scipy.linalg.blas' 2>&1 | grep "to $library" > bindings
grep -q '_multiarray_umath.*cblas_dgemm' bindings
grep -q '_fblas.*sgemm_' bindings

# All but a dot product of vectors of 8 GiB.
multiarray=$packages/numpy/core/tests/test_multiarray.py
# NumPy 2 has put it under another name.
[ -e "$multiarray" ] || multiarray=$packages/numpy/_core/tests/test_multiarray.py
[ -e "$multiarray" ]
suite=("$packages/numpy/linalg" "$multiarray::TestDot" "$multiarray::TestMatmul" "$multiarray::TestMatmulOperator")
scipy=$packages/scipy/linalg/tests
suite+=("$scipy"/test_{basic,blas,fblas,decomp,decomp_cholesky,decomp_ldl,decomp_update,lapack,matfuncs,solvers}.py)
run() {
  local name=$1
  shift
  # Some fail over the reference too, so what passes is compared, below.
  env "$@" $python -m pytest -q -p no:cacheprovider --tb=no -rA -k "not huge_vectordot" "${suite[@]}" > "$name.log" 2>&1 || true
  grep -E '^(PASSED|XPASS) ' "$name.log" | sort > "$name.passed"
  grep -E '[0-9]+ passed' "$name.log"
}
echo "--- the reference BLAS"
run without NABLAS=
echo "--- with nablas"
run with LD_PRELOAD="$library" NABLAS_NUM_THREADS=2
for name in without with; do
  [ "$(wc -l < $name.passed)" -gt 1000 ] || { tail $name.log >&2; exit 1; }
done
if comm -23 without.passed with.passed | grep .; then
  echo "numpy: passed without nablas, but not with it" >&2
  exit 1
fi
echo "numpy: passed ($(wc -l < with.passed) tests)"
