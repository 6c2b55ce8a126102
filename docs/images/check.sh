#!/bin/sh
# Makes docs/images/check.png, the report of a check of the examples: sh docs/images/check.sh [CHROMIUM]
# Run it from the project's root with `bulkhead` on the path (or BULKHEAD="python -P -m runner"); needs Chromium.
set -eu
chromium=${1:-chromium}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
code=0
${BULKHEAD:-bulkhead} check examples/inbox --config examples/bulkhead.toml --schemas examples/schemas/saved \
    --report "$place/check.html" --quiet || code=$?
[ "$code" -eq 4 ] || { echo "the check ended with $code, not with the 4 that the examples are meant for" >&2; exit 1; }
"$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$place/profile" \
    --window-size=1100,1180 --screenshot="$PWD/docs/images/check.png" "file://$place/check.html" 2> "$place/log" \
    || { cat "$place/log" >&2; exit 1; }
