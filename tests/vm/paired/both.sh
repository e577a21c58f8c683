# SPDX-License-Identifier: LGPL-2.1-or-later
# Both parts in one transaction, in both orders, and back
insmod /modules/victim.ko
start_victim
for order in kernel-first userspace-first; do
	file=/patches/first-$order.upatch
	say upatchctl inspect $file
	said "order: +$order"
	both_sides 6
	say upatchctl apply -p $victim $file
	said '^kernel .* done '
	said "^ *$victim victim +first +done "
	both_sides 1
	say is=1 upatchctl apply -q -p $victim $file
	said 'exists'
	say upatchctl status -p $victim
	say upatchctl kernel list
	said 'first +enabled'
	# By name the kernel's side would be forgotten: that is the caller's to say.
	say upatchctl revert -p $victim --file $file
	said '^kernel .* done '
	nothing_is_left
	say is=4 upatchctl revert -q -p $victim --file $file
	said 'not-applied'
done
# One side alone, on demand.
say upatchctl apply -q -p $victim --no-kernel /patches/first-kernel-first.upatch
kernel_side 6
user_side 1
# What is there is not done again, and what is missing is.
say upatchctl apply -p $victim /patches/first-kernel-first.upatch
said '^kernel .* done '
said "^ *$victim victim +first +there "
both_sides 1
say upatchctl revert -q -p $victim --file /patches/first-kernel-first.upatch
nothing_is_left
rmmod victim
