#!/usr/bin/env bash
# Builds the programs of the harness into a directory, ./bin unless another is given.
set -euo pipefail
dir=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/bin}")
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p "$dir"
exec go build -buildvcs=false -o "$dir/" ./cmd/... # git may refuse a version stamp to root in a user's clone
