# SPDX-License-Identifier: LGPL-2.1-or-later
# A thread holds the process's part: the kernel's is reversed at the deadline
insmod /modules/victim.ko
start_victim
for order in kernel-first userspace-first; do
	block_thread
	say is=1 upatchctl apply -p $victim --wait=2 /patches/unblock-$order.upatch
	said 'in-function'
	said 'block_here'
	said "^ *$victim victim +unblock +reversed +in-function"
	[ $order = userspace-first ] || said '^kernel .* reversed '
	[ $order = kernel-first ] || said '^kernel .* untouched '
	nothing_is_left
	[ ! -e /sys/module/unblock ] || fail "the module is still loaded"
	release_thread
	# Now nothing is in the way.
	say upatchctl apply -q -p $victim /patches/unblock-$order.upatch
	both_sides 4
	say upatchctl revert -q -p $victim --file /patches/unblock-$order.upatch
	nothing_is_left
done
rmmod victim
