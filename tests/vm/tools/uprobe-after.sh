# SPDX-License-Identifier: LGPL-2.1-or-later
# A uprobe that comes to a patched process, in another function; at a patched entry README.md forbids it
. /lib/vm/uprobe.sh
start_victim
say upatchctl apply -q -p $victim /patches/first.upatch
user_side 1
probe_at other
user_side 1
user_side 1
[ "$(hits)" = 2 ] || fail "hits: $(hits)"
say upatchctl revert -q -p $victim first
user_side 6
[ "$(hits)" = 3 ] || fail "hits: $(hits)"
say upatchctl apply -q -p $victim /patches/first.upatch
user_side 1
no_probe
user_side 1
say upatchctl revert -q -p $victim first
user_side 6
