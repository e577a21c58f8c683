# SPDX-License-Identifier: LGPL-2.1-or-later
# The kernel refuses to load its part: the process's is reversed
insmod /modules/victim.ko
start_victim
for order in userspace-first kernel-first; do
	say is=1 upatchctl apply -p $victim /patches/unloadable-$order.upatch
	said 'kernel-refused'
	said '^kernel .* refused +kernel-refused'
	[ $order = kernel-first ] || said "^ *$victim victim +first +reversed"
	[ $order = userspace-first ] || said "^ *$victim victim +first +untouched"
	nothing_is_left
done
rmmod victim
