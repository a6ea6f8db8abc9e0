#!/bin/sh
# Runs a command of this folder: operate/run.sh up [ARGUMENT ...]. Node modules are installed first where they are
# missing or old, so that every npm script works in a fresh clone.
set -eu
cd "$(dirname "$0")/.."

major=$(node -p 'process.versions.node.split(".").slice(0, 2).map((n) => n.padStart(3, "0")).join("")' 2>/dev/null || echo 0)
if [ "$major" -lt 20020 ]; then
    echo "Node.js 20.20 or newer is needed; found $(node --version 2>/dev/null || echo none). Fix: install it from https://nodejs.org or your distribution." >&2
    exit 1
fi
if [ ! -x node_modules/.bin/tsx ] || ! cmp -s package-lock.json node_modules/.package-lock.installed; then
    echo "Installing node modules (once, about a minute) ..." >&2
    npm ci --include=dev --no-audit --no-fund --loglevel=error >&2
    cp package-lock.json node_modules/.package-lock.installed
fi
command=$1
shift
case $command in
    vitest) exec node_modules/.bin/vitest "$@" ;;
    *) exec node_modules/.bin/tsx "operate/$command.ts" "$@" ;;
esac
