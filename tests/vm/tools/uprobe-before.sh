# SPDX-License-Identifier: LGPL-2.1-or-later
# A uprobe at the entry of a function: patching it is refused, and the probe goes on; elsewhere it is no matter
. /lib/vm/uprobe.sh
start_victim
probe_at secret
user_side 6
[ "$(hits)" = 1 ] || fail "hits: $(hits)"
say is=1 upatchctl apply -p $victim /patches/first.upatch
said '\[bytes-differ\]'
said 'uprobe'
user_side 6
[ "$(hits)" = 2 ] || fail "hits: $(hits)"
no_probe
probe_at other
say upatchctl apply -q -p $victim /patches/first.upatch
user_side 1
[ "$(hits)" = 1 ] || fail "hits: $(hits)"
say upatchctl revert -q -p $victim first
user_side 6
no_probe
user_side 6
