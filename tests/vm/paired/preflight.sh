# SPDX-License-Identifier: LGPL-2.1-or-later
# What can be known before refuses before anything is changed
insmod /modules/victim.ko
start_victim
# The process: it has no such object.
sleep 1000 &
other=$!
say is=1 upatchctl apply -p $victim,$other /patches/first-kernel-first.upatch
said 'no-object'
said '^kernel .* untouched '
said "^ *$victim victim +first +untouched"
said "^ *$other .* refused +no-object"
nothing_is_left
[ "$(dmesg | grep -c "enabling patch")" = 0 ] || fail "the kernel was asked"
kill $other
# The kernel: another transition is open.
block
load unblock
say is=1 upatchctl apply -p $victim /patches/first-userspace-first.upatch
said 'kernel-busy'
said "^ *$victim victim +first +untouched"
user_side 6
release
until_ok is_settled unblock
disable unblock
# The kernel: ftrace is off.
echo 0 >/proc/sys/kernel/ftrace_enabled
say is=1 upatchctl apply -q -p $victim /patches/first-userspace-first.upatch
said 'ftrace-disabled'
echo 1 >/proc/sys/kernel/ftrace_enabled
nothing_is_left
rmmod victim
