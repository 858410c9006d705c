#!/usr/bin/env bash
# Netlib's own testers of the level 3 (Debian's libblas-test, Fortran and CBLAS) on the reference BLAS, with our sgemm_,
# dgemm_, cblas_sgemm and cblas_dgemm interposed, on every instruction set of the machine. Prints the testers' verdicts.
# Their matrices are small; capi/tests/blas.rs has large ones. One command; installs what it needs (as root, from Debian's
# packages).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
need gcc
blas=/usr/lib/$(gcc -print-multiarch)/blas
need_file "$blas/xblat3s" libblas-test
need_file "$blas/libblas.so.3" libblas3
cargo build --release -p nablas-blas
library=$CARGO_TARGET_DIR/release/libnablas_blas.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Runs a tester; its verdicts on GEMM, which must be none but "passed".
tester() {
  local program=$1 input=$2 output=$3
  rm -f "$output"
  LD_LIBRARY_PATH=$blas LD_PRELOAD=$library LD_DEBUG=bindings LD_DEBUG_OUTPUT=bindings \
    "$blas/$program" < "$blas/$input" > printed 2>&1
  [ -e "$output" ] || cp printed "$output"
  # That the tester called us, and not the reference.
  grep -q "$program.*to $library.*gemm" bindings.*
  rm -f bindings.*
  grep -i gemm "$output"
  grep -q 'END OF TESTS' "$output"
  ! grep -iE 'FAIL|SUSPECT|ERROR|\*\*' "$output" | grep -vE 'ERROR-EXITS'
}

for isa in scalar avx2 avx512 neon; do
  export NABLAS_ISA=$isa
  said=$(LD_PRELOAD=$library "$blas/xblat3s" < "$blas/sblat3.in" 2>&1 || true)
  if [[ $said == *'not available here'* ]]; then
    # The machine must say so, too.
    case $isa in
      scalar) false ;;
      avx2) ! grep -qw avx2 /proc/cpuinfo ;;
      avx512) ! grep -qw avx512vl /proc/cpuinfo ;;
    esac || { echo "$isa is here, and refused" >&2; exit 1; }
    echo "--- $isa: not on this machine"
    continue
  fi
  echo "--- $isa"
  for type in s d; do
    tester "xblat3$type" "${type}blat3.in" "${type}blat3.out"
    tester "x${type}cblat3" "${type}in3" cblat3.out
  done
done
echo "netlib: passed"
