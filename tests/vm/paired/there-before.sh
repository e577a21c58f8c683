# SPDX-License-Identifier: LGPL-2.1-or-later
# What an earlier call did stays when this one fails, and the report names it
insmod /modules/victim.ko
start_victim
for order in kernel-first userspace-first; do
	file=/patches/unblock-$order.upatch
	# The kernel has it, a thread holds the process's part.
	say upatchctl kernel apply -q /modules/unblock.ko
	block_thread
	say is=1 upatchctl apply -p $victim --wait=2 $file
	said '^kernel .* there '
	said "^ *$victim victim +unblock +reversed +in-function"
	said "warning: .*kernel: had it before, and keeps it: 'upatchctl kernel revert unblock' takes it away"
	say is=1 upatchctl apply --json -p $victim --wait=2 $file
	said '"warnings": *\['
	said 'kernel: had it before, and keeps it'
	release_thread
	say upatchctl kernel revert -q unblock
	nothing_is_left
	# The process has it, another process has nothing to patch.
	sleep 1000 &
	other=$!
	say upatchctl apply -q -p $victim --no-kernel $file
	say is=1 upatchctl apply -p $other,$victim $file
	said 'no-object'
	said "^ *$victim victim +unblock +there"
	said "warning: .*process $victim: had it before, and keeps it: 'upatchctl revert -p $victim unblock' takes it away"
	kill $other
	say upatchctl revert -q -p $victim unblock
	nothing_is_left
done
rmmod victim
