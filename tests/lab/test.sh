#!/usr/bin/env bash
# Runs the suites as tests/nextest.toml says and ends with the line "N passed, N failed".
# Usage: test.sh [nextest arguments...]
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:/usr/sbin:/sbin RUST_BACKTRACE=0
# Tests of properties draw the same cases on every machine; another number draws others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
# Seconds. Ends what hangs: on two processors it takes a sixth of that.
limit=7200
profile=default
[ "${CI:-}" != true ] || profile=ci

log=$(mktemp)
trap 'rm -f "$log"' EXIT
rc=0
timeout --kill-after=10 "$limit" "${CARGO:-cargo}" nextest run --locked --workspace --cargo-profile lab \
  --config-file tests/nextest.toml --profile "$profile" --color never "$@" </dev/null 2>&1 | tee "$log" || rc=$?

passed=$(sed -nE 's/^ *Summary .* ([0-9]+) passed.*/\1/p' "$log" | tail -n 1)
failed=$(sed -nE 's/^ *Summary .* ([0-9]+) failed.*/\1/p' "$log" | tail -n 1)
timed_out=$(sed -nE 's/^ *Summary .* ([0-9]+) timed out.*/\1/p' "$log" | tail -n 1)
echo "$((${passed:-0})) passed, $((${failed:-0} + ${timed_out:-0})) failed"
[ "${passed:-0}" -gt 0 ] || exit 1
exit "$rc"
