#!/usr/bin/env bash
# cargo deny by deny.toml: licences, bans, sources; and advisories, where their database can be had. One command; installs
# what it needs (from crates.io).
set -euo pipefail
. "$(dirname "$0")/tools.sh"
need_cargo_deny
cargo deny --log-level error check licenses bans sources
if ! cargo deny --log-level error fetch db 2> /dev/null; then
  echo "deny: advisories not checked, their database cannot be had here"
  exit 0
fi
cargo deny --log-level error check advisories
echo "deny: passed"
