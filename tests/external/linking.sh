#!/usr/bin/env bash
# The C library as its users meet it: every command of docs/LINKING.md, then the sanitizers, valgrind, threads, forks and
# what is exported. One command; installs what it needs (as root, from Debian's packages).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
SOURCE=$root
need gcc g++ cmake make pkg-config:pkg-config valgrind python3 zcat:gzip nm:binutils
need_file "/usr/lib/$(gcc -print-multiarch)/blas/xblat3d" libblas-test libblas3
need_cargo_c

export SOURCE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PREFIX=$work/prefix
cd "$work"

# A cargo inside of cargo-c is another one: with a folder of its own neither builds the other's crates anew.
cargo() {
  if [ "$1" = cinstall ]; then CARGO_TARGET_DIR=$CARGO_TARGET_DIR/capi command cargo "$@"; else command cargo "$@"; fi
}

echo "--- docs/LINKING.md"
awk '/^```sh$/ {on = 1; next} /^```$/ {on = 0} on' "$SOURCE/docs/LINKING.md" > commands.sh
[ "$(grep -c . commands.sh)" -gt 20 ]
set -x
. ./commands.sh | tee output
{ set +x; } 2>/dev/null
export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig LD_LIBRARY_PATH=$PREFIX/lib
# Every training of 30 epochs learns, those of 2 run.
[ "$(grep -c '^test accuracy' output)" = 7 ]
[ "$(grep -c '^test accuracy 0.9[6-9]' output)" -ge 2 ]

echo "--- what is exported"
exported=$(nm -D --defined-only "$PREFIX/lib/libnablas.so" | awk '{print $3}')
grep -q '^nablas_splan_vjp$' <<< "$exported"
if grep -v '^nablas_' <<< "$exported"; then echo "libnablas.so exports more than nablas_*" >&2; exit 1; fi
nm -D --defined-only "$CARGO_TARGET_DIR/release/libnablas_blas.so" | awk '{print $3}' | sort > blas
diff blas - <<< $'cblas_dgemm\ncblas_sgemm\ndgemm_\nsgemm_'
# Every function of the header is there, and none besides.
grep -v '^ \*' "$PREFIX/include/nablas.h" | grep -o 'nablas_[a-z0-9_]*(' | tr -d '(' | sort -u > declared
sort <<< "$exported" | diff - declared
readelf -d "$PREFIX/lib/libnablas.so" | grep -q 'libnablas.so.0.1]'
for library in "$PREFIX/lib/libnablas.so" "$CARGO_TARGET_DIR/release/libnablas_capi.so" \
  "$CARGO_TARGET_DIR/release/libnablas_blas.so"; do
  readelf -d "$library" | grep NODELETE > /dev/null || { echo "$library: dlclose would unmap it" >&2; exit 1; }
done

strict=(-Wall -Wextra -Wpedantic -Werror)
flags=$(pkg-config --cflags --libs nablas)
tests=$SOURCE/capi/tests/c

echo "--- C99, C11, C23 and C++ take the header"
for standard in c99 c11 c2x; do
  echo '#include <nablas.h>' | gcc -std=$standard "${strict[@]}" $flags -fsyntax-only -x c -
done
for standard in c++17 c++20; do
  echo '#include <nablas.hpp>' | g++ -std=$standard "${strict[@]}" $flags -fsyntax-only -x c++ -
done

echo "--- threads and forks, C++ in both modes, with and without sanitizers"
asan="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
for sanitize in "" "$asan"; do
  gcc -std=gnu11 "${strict[@]}" -g -O1 $sanitize "$tests/process.c" $flags -pthread -o process
  ./process
  for mode in "" "-DNABLAS_NO_EXCEPTIONS -fno-exceptions"; do
    g++ -std=c++17 "${strict[@]}" -g -O1 $sanitize $mode "$tests/wrapper.cpp" $flags -o wrapper
    ./wrapper
  done
  gcc -std=c11 "${strict[@]}" -g -O1 $sanitize "$SOURCE/examples/c/digits.c" $flags -o digits
  ./digits digits.csv 3
  g++ -std=c++17 "${strict[@]}" -g -O1 $sanitize "$SOURCE/examples/cpp/digits.cpp" $flags -o digits-cpp
  ./digits-cpp digits.csv 3
done

echo "--- valgrind"
gcc -std=c11 -g -O1 "$SOURCE/examples/c/digits.c" $flags -o digits
g++ -std=c++17 -g -O1 "$tests/wrapper.cpp" $flags -o wrapper
# It does not know AVX-512: the widest of the others that is here.
for isa in avx2 neon scalar; do
  if NABLAS_ISA=$isa ./digits digits.csv 1 > /dev/null 2>&1; then break; fi
done
for program in "./digits digits.csv 1" ./wrapper; do
  # Not what is possibly lost: what the queues of a team's threads leave is known by addresses with tags in them.
  NABLAS_ISA=$isa NABLAS_NUM_THREADS=1 valgrind -q --error-exitcode=9 --leak-check=full \
    --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect $program
done

echo "--- NABLAS_VERBOSE, NABLAS_ISA, NABLAS_NUM_THREADS"
NABLAS_VERBOSE=1 NABLAS_ISA=scalar ./digits digits.csv 1 2> lines > /dev/null
grep -Eq '^nablas,splan_value_and_grad,32x64x10,scalar,fused,[0-9]+,[0-9.]+,ok$' lines
if grep -Ev '^nablas,[a-z_]+,[0-9]+x[0-9]+x[0-9]+,scalar,[a-z]+,[0-9]+,[0-9.]+,ok$' lines; then exit 1; fi
refused() { if "$@" > /dev/null 2> words; then echo "not refused: $*" >&2; exit 1; fi; cat words; }
NABLAS_ISA=sse9 refused ./digits digits.csv 1 | grep 'unknown ISA'
NABLAS_NUM_THREADS=many refused ./digits digits.csv 1 | grep 'NABLAS_NUM_THREADS: expected 1 to 1024, got many'
refused ./digits no-such-file | grep 'No such file'

echo "linking: passed"
