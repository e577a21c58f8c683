#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Install into an empty root; everything is in its place, and the documented program builds and runs.
#
#	test_install.sh SOURCE_ROOT BUILD_ROOT VICTIM
set -euo pipefail

source=$1 build=$2 victim=$3
root=$(mktemp -d)
trap 'kill ${pid:-} 2>/dev/null || true; rm -rf "$root"' EXIT
n=0

ok() {
	n=$((n + 1))
	echo "ok $n - $1"
}

die() {
	echo "not ok $((n + 1)) - $1"
	exit 1
}

DESTDIR=$root meson install -C "$build" --no-rebuild >/dev/null
prefix=$root$(meson introspect "$build" --buildoptions | python3 -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')

for file in include/upatch/{upatch,error,livepatch}.h bin/upatchctl share/man/man1/upatchctl.1 \
	share/man/man7/upatch.7 share/bash-completion/completions/upatchctl \
	share/doc/upatch/{README.md,docs/json.md,patches/jar/take.c}; do
	[ -s "$prefix/$file" ] || die "no $file is installed"
done
ok "headers, tool, manual, documents and completion are installed"

pc=$(find "$prefix" -name libupatch.pc)
lib=$(dirname "$(dirname "$pc")")
[ -e "$lib/libupatch.so" ] && [ -e "$lib/libupatch.a" ] || die "no library beside $pc"
ok "the shared and the static library are installed"

export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root LD_LIBRARY_PATH=$lib
# shellcheck disable=SC2046 # flags are words
cc -Wall -Werror -o "$root/example" "$source/docs/example.c" $(pkg-config --cflags --libs libupatch)
ok "the documented program builds against the installation"

cat >"$root/p.c" <<'E'
#include <upatch/livepatch.h>
UPATCH_OBJECT("victim");
static int r(int x) { return 4711; }
UPATCH_FUNC(secret, r);
E
UPATCH_INCLUDEDIR=$prefix/include "$prefix/bin/upatchctl" -q build --source "$root/p.c" \
	-o "$root/p.upatch" --object victim="$victim"
mkfifo "$root/to" "$root/from"
"$victim" <"$root/to" >"$root/from" &
pid=$!
exec 3>"$root/to" 4<"$root/from"
ask() {
	echo "$1" >&3
	read -rt 20 answer <&4
}
ask call
[ "$answer" = "call 9 6 41 5" ] || die "the victim says '$answer'"
"$root/example" "$pid" "$root/p.upatch" >/dev/null || die "the documented program fails"
ask call
[ "$answer" = "call 10 4711 42 5" ] || die "the victim says '$answer' when it is patched"
ok "it patches a process"

"$root/example" "$pid" "$root/p.upatch" 2>"$root/error" && die "it applied the patch twice"
grep -q "refused: exists: pid $pid " "$root/error" || die "it says $(cat "$root/error")"
ok "it tells why a second time is refused"
echo "1..$n"
