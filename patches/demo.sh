# SPDX-License-Identifier: LGPL-2.1-or-later
# What the samples' demos share. To be sourced by a script that got the build directory as $1.
set -euo pipefail

build=$(realpath "${1:-build}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UPATCH_INCLUDEDIR=$PWD/include
export PATH=$build/upatchctl:$PATH
dir=$(mktemp -d)
children=()

cleanup() {
	[ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT

die() {
	echo "demo: $*" >&2
	exit 1
}

# Show a command, then run it.
say() {
	printf '\n$ %s\n' "${*//$dir\//}"
	(cd "$dir" && "$@")
}

# Wait for a command to succeed.
until_ok() {
	local deadline=$((SECONDS + 20))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || die "'$*' does not succeed"
		read -rt 0.05 <> <(:) || true
	done
}

# answer_is EXPECTED COMMAND...: show a command and its output, which must be as expected.
answer_is() {
	local expected=$1 answer
	shift
	printf '\n$ %s\n' "$*"
	answer=$("$@")
	echo "$answer"
	[ "$answer" = "$expected" ] || die "expected '$expected'"
}
