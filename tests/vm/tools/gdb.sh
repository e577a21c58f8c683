# SPDX-License-Identifier: LGPL-2.1-or-later
# gdb -p on a patched process: it shows the jump, calls the new version, and leaves; meanwhile nothing is changed
start_victim_on_host
say on_host upatchctl apply -q -p $victim /tmp/first.upatch
user_side 1
say on_host gdb -q -nx -batch -p $victim -ex 'x/i secret' -ex 'print (int)secret(2)' -ex 'bt'
said '<secret>:.*jmp'
said '= 1$'
said 'in main'
user_side 1
# With a breakpoint in the new version, which is called once.
cat >/host/tmp/commands <<'COMMANDS'
set breakpoint pending off
break *(*(int *)((char *)secret + 1) + (char *)secret + 5)
continue
bt 2
shell touch /tmp/is_in
detach
COMMANDS
chroot /host gdb -q -nx -batch -p $victim -x /tmp/commands >/tmp/gdb 2>&1 &
tracer=$!
is_ready() { grep -q 'Breakpoint 1 at' /tmp/gdb && grep -q '^State:.S' /proc/$victim/status; }
until_ok is_ready
say is=1 on_host upatchctl revert -p $victim first
said '\[traced\]'
user_side 1
wait $tracer
grep -q 'hit Breakpoint 1\|Breakpoint 1, ' /tmp/gdb || fail "$(cat /tmp/gdb)"
user_side 1
say on_host upatchctl revert -q -p $victim first
user_side 6
