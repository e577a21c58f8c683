# SPDX-License-Identifier: LGPL-2.1-or-later
# On the way back the kernel's part waits for another patch's transition
insmod /modules/victim.ko
start_victim
block_thread
upatchctl apply -v -p $victim --wait=6 /patches/still-kernel-first.upatch >/tmp/said 2>&1 &
tool=$!
is_enabled() { [ -e "$livepatch/still" ] && is_settled still; }
until_ok is_enabled
# The process's part is held. Somebody else has a transition open when the kernel's one has to go back.
block
load unblock
! is_settled unblock || fail "the other transition is not open"
is_reversing() { grep -q 'kernel: reversing' /tmp/said; }
until_ok is_reversing
release
rc=0
wait $tool || rc=$?
cat /tmp/said
[ $rc = 1 ] || fail "exit status $rc"
said '^kernel .* reversed '
said "^ *$victim victim +still +reversed +in-function"
[ ! -e $livepatch/still ] || fail "the kernel's part is still enabled"
release_thread
until_ok is_settled unblock
disable unblock
nothing_is_left
rmmod victim
