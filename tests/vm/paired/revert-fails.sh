# SPDX-License-Identifier: LGPL-2.1-or-later
# A thread in the new function: what is disabled already is enabled again
insmod /modules/victim.ko
start_victim
for order in kernel-first userspace-first; do
	file=/patches/still-$order.upatch
	say upatchctl apply -q -p $victim $file
	both_sides 5
	block_thread
	say is=1 upatchctl revert -p $victim --wait=2 --file $file
	said 'in-function'
	said "^ *$victim victim +still +reversed +in-function"
	[ $order = kernel-first ] || said '^kernel .* reversed '
	both_sides 5
	say upatchctl kernel list
	said 'still +enabled'
	release_thread
	say upatchctl revert -q -p $victim --file $file
	nothing_is_left
done
rmmod victim
