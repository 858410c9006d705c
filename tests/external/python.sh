#!/usr/bin/env bash
# The Python package as a stranger meets it: wheels built, inspected, installed into a clean environment with PyTorch, JAX and
# scikit-learn; its tests with all of them, its stubs, its examples at small size. What cannot be installed fails it; so does a
# test that is skipped. `python.sh DIRECTORY` keeps the wheels there.
set -euo pipefail
wheels=${1:+$(realpath -m "$1")}
. "$(dirname "$0")/tools.sh"
need python3 g++
# What PyTorch's compiler builds includes it.
need_file "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" python3-dev
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wheels=${wheels:-$work/wheels}
mkdir -p "$wheels"

environment "$work/build"
"$work/build/bin/pip" install -q 'maturin>=1.9.4,<2' auditwheel abi3audit
"$work/build/bin/maturin" build -q --release --locked -m python/Cargo.toml --out "$wheels"
wheel=$(ls "$wheels"/nablas-*-cp310-abi3-*.whl)
"$work/build/bin/auditwheel" show "$wheel" | tee "$work/audit"
grep -q manylinux "$work/audit"
"$work/build/bin/abi3audit" --strict --report "$wheel" > "$work/abi3.json"

# An interpreter without the global lock has no stable ABI before 3.15: that the crate compiles for one.
cat > "$work/free-threaded" << 'CONFIG'
implementation=CPython
version=3.14
shared=true
build_flags=Py_GIL_DISABLED
suppress_build_script_link_lines=true
CONFIG
PYO3_CONFIG_FILE=$work/free-threaded cargo check -q --locked -p nablas-python --no-default-features

# NumPy alone, as `pip install ./python` builds it.
environment "$work/alone"
"$work/alone/bin/pip" install -q ./python
(cd "$work" && "$work/alone/bin/python" -c 'import nablas; nablas.show_config()')

environment "$work/all"
"$work/all/bin/pip" install -q "$wheel[torch,jax,sklearn]" pytest hypothesis mypy tqdm matplotlib gymnasium safetensors expecttest mpi4py mpich
cd "$work"
"$work/all/bin/python" -m pytest -q -rs -p no:cacheprovider "$root/python/tests" | tee tests.log
if grep -Eq '[0-9]+ skipped' tests.log; then
  echo "tests were skipped" >&2
  exit 1
fi
"$work/all/bin/python" -m mypy.stubtest nablas._nablas

run() {
  local example=$1
  shift
  echo "--- $example"
  "$work/all/bin/python" "$root/python/examples/$example.py" "$@"
}
run digits --epochs 3
run siren --side 32 --epochs 4 --out "$work/siren.png"
[ -s "$work/siren.png" ]
run burgers --steps 60
run pipeline --epochs 3
run same_bits --steps 5
# The examples of the other libraries, each with its own small size.
if [ -x "$root/python/examples/small.sh" ]; then
  PATH=$work/all/bin:$PATH "$root/python/examples/small.sh"
fi
