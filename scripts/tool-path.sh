#!/usr/bin/env bash
# The one place that knows where the pinned tools live.
#
#   scripts/tool-path.sh          prints the tools folder
#   scripts/tool-path.sh NAME     prints the path of that tool, there or not
#
# ENTREPOT_TOOLS moves the folder. It is outside the target folder, and each version has a folder of
# its own, so `cargo clean` keeps the tools and a new version never meets an old build.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${ENTREPOT_TOOLS:-${HOME:?}/.cache/entrepot-tools}

if [ $# -eq 0 ]; then
    echo "$tools"
    exit 0
fi

read -r name version builder source < <(
    awk -v name="$1" '$1 == name { print $1, $2, $3, $4 }' "$root/scripts/tools.txt"
) || { echo "no tool named \`$1\` in scripts/tools.txt" >&2; exit 1; }

# A program of our own has no release: its version is the hash of its source.
if [ "$builder" = go-dir ]; then
    version=$(cd "$root/$source" && cat -- *.go go.mod go.sum | sha256sum | cut -c1-16)
fi
echo "$tools/$name-$version/bin/$name"
