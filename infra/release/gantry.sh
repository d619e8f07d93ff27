#!/bin/sh
# The gantry command of a release, wherever it is put and through whatever links it is called.
bin=$(dirname "$(readlink -f "$0")")
export GANTRY_STATE_DIR="${GANTRY_STATE_DIR:-/var/lib/gantry}"
exec "$bin/node" --enable-source-maps --disable-warning=ExperimentalWarning "$bin/../build/bundle/gantry/gantry.mjs" "$@"
