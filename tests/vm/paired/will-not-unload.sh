# SPDX-License-Identifier: LGPL-2.1-or-later
# A module that is pinned is disabled, takes nobody's time, and makes no room. The last one: it stays
insmod /modules/victim.ko
start_victim
file=/patches/still-kernel-first.upatch
say upatchctl apply -q -p $victim $file
both_sides 5
block
say upatchctl revert -p $victim --wait=2 --force --file $file
said 'warning: .*still has 1 users'
said '^kernel .* done '
release
both_sides 6
say is=4 upatchctl revert -q -p $victim --file $file
said 'not-applied'
upatchctl apply -p $victim $file >/tmp/said 2>&1 && fail "it was enabled again"
cat /tmp/said
said '^kernel .* refused +kernel-in-use'
both_sides 6
