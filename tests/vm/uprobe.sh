# SPDX-License-Identifier: LGPL-2.1-or-later
# A uprobe in the victim, at the entry of one of its functions, by tracefs.
tracing=/sys/kernel/tracing

# Its offset in the file, from the table that was made with the guest.
probe_at() {
	local offset
	offset=$(sed -n "s/^$1 //p" /lib/vm/offsets)
	[ -n "$offset" ] || fail "no function $1"
	echo "p:probed /bin/victim:$offset" >$tracing/uprobe_events || fail "cannot set the uprobe"
	echo 1 >$tracing/events/uprobes/probed/enable || fail "cannot enable the uprobe"
}
hits() { awk '$2 == "probed" { print $3 }' $tracing/uprobe_profile; }
no_probe() {
	echo 0 >$tracing/events/uprobes/probed/enable
	echo >$tracing/uprobe_events
}
