# Sourced: goes to the repository, says where cargo builds, finds tools or installs them.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# As cargo takes it, from the directory that the script was called in; the scripts change it.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR
cd "$root"

# Installs Debian packages.
debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "missing: $* (Debian's names); install them" >&2
    exit 1
  fi
  # One script at a time: the package manager does not wait for itself.
  local lock=${TMPDIR:-/tmp}/nablas-packages
  [ -n "${updated:-}" ] || flock -o "$lock" apt-get -qq update || return
  updated=1
  DEBIAN_FRONTEND=noninteractive flock -o "$lock" apt-get -qq install -y --no-install-recommends "$@" > /dev/null
}

# Commands, each with the package that has it after a colon, if its name is another.
need() {
  local each missing=()
  for each in "$@"; do
    command -v "${each%%:*}" > /dev/null || missing+=("${each#*:}")
  done
  [ ${#missing[@]} = 0 ] || debian "${missing[@]}"
}

# A file, and the packages that have it.
need_file() {
  local file=$1
  shift
  [ -e "$file" ] || debian "$@"
}

# A program of crates.io by its version, built without optimisation: it runs once.
cargo_program() {
  local build
  build=$(mktemp -d)
  CARGO_TARGET_DIR=$build CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked "$1" --version "$2"
  rm -rf "$build"
}

need_cargo_c() {
  command -v cargo-cinstall > /dev/null && return
  need pkg-config
  need_file /usr/include/openssl/ssl.h libssl-dev
  cargo_program cargo-c 0.10.24+cargo-0.98.0
}

need_cargo_fuzz() {
  command -v cargo-fuzz > /dev/null || cargo_program cargo-fuzz 0.13.2
}

need_cargo_deny() {
  command -v cargo-deny > /dev/null || cargo_program cargo-deny 0.20.2
}

# An environment of Python's own in a new directory.
environment() {
  python3 -m venv "$1" || { debian python3-venv && python3 -m venv "$1"; }
}

# A nightly toolchain.
need_nightly() {
  rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
}
