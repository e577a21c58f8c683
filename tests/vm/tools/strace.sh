# SPDX-License-Identifier: LGPL-2.1-or-later
# strace -p on a patched process
start_victim
say upatchctl apply -q -p $victim /patches/first.upatch
user_side 1
chroot /host /usr/bin/strace -f -o /tmp/trace -p $victim >/tmp/strace 2>&1 &
tracer=$!
is_traced() { ! grep -q '^TracerPid:.0$' /proc/$victim/status; }
until_ok is_traced
user_side 1
say is=1 upatchctl revert -p $victim first
said '\[traced\]'
user_side 1
kill $tracer
wait $tracer
grep -q 'write(1, "1 5 10 20' /host/tmp/trace || fail "the trace lacks the answer: $(cat /host/tmp/trace)"
user_side 1
say upatchctl revert -q -p $victim first
user_side 6
