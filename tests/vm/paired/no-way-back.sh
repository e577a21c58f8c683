# SPDX-License-Identifier: LGPL-2.1-or-later
# What could not be brought back as it is is not taken away: another patch is above it
insmod /modules/victim.ko
start_victim
say upatchctl apply -q -p $victim /patches/first-userspace-first.upatch
load second
until_ok is_settled second
kernel_side 2
user_side 1
# The kernel's part goes first, and would come back on top.
say is=1 upatchctl revert -p $victim --file /patches/first-userspace-first.upatch
said 'stack-order'
said "livepatch 'second'"
said "^ *$victim victim +first +untouched"
kernel_side 2
user_side 1
# Where it goes last it need not come back.
say upatchctl revert -p $victim --file /patches/first-kernel-first.upatch
said '^kernel .* done '
kernel_side 2
user_side 6
disable second
nothing_is_left
# What a cumulative patch supersedes does not come back: check knows it as apply does.
load second
until_ok is_settled second
for verb in check apply; do
	say is=1 upatchctl $verb -p $victim /patches/cumulative-kernel-first.upatch
	said "supersedes the kernel's livepatch 'second'"
	said '^kernel .* refused +unsupported'
done
kernel_side 2
user_side 6
# The last one to go need not come back.
say upatchctl check -p $victim /patches/cumulative-userspace-first.upatch
said '^kernel .* applicable'
disable second
nothing_is_left
rmmod victim
