# SPDX-License-Identifier: LGPL-2.1-or-later
# With --force laggards of both sides are switched at the deadline
insmod /modules/victim.ko
start_victim
block
block_thread
say upatchctl apply -p $victim --wait=2 --force /patches/unblock-kernel-first.upatch
said 'warning: .*kernel: who has not switched is forced'
said "warning: .*process $victim: who has not switched is forced"
said '^kernel .* done '
both_sides 4
say upatchctl status
release
release_thread
say upatchctl revert -q -p $victim --file /patches/unblock-kernel-first.upatch
nothing_is_left
rmmod victim
