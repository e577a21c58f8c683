# SPDX-License-Identifier: LGPL-2.1-or-later
# Who is not root: what he may, and what he is told where he may not, by socket and by bus
start_service plain@a
mkfifo -m 0666 /tmp/own.to
as_user '/bin/victim </tmp/own.to >/dev/null' 3<>/tmp/own.to &
own_pid() { ps -o user,pid,comm | awk '$1 == "victim" && $3 == "victim" { print $2 }' | grep .; }
until_ok own_pid >/dev/null
own=$(own_pid)
root=$(pid_of plain@a)
cp /patches/first.upatch /tmp
chmod 0644 /tmp/first.upatch

refusal='process [0-9]+ of user 1000 may not do this: the process runs as another user, or with privileges \[denied\]'
for way in env by_bus; do
	unprivileged() { $way su -s /bin/sh victim -c "$*"; }
	say unprivileged upatchctl status --daemon
	say unprivileged upatchctl --daemon list
	say unprivileged upatchctl --daemon apply -q -p $own /tmp/first.upatch
	say unprivileged upatchctl --daemon status -p $own
	said first
	say unprivileged upatchctl --daemon revert -q -p $own first
	# In the same words by both ways, and where the tool asks the daemon because the kernel does not let it.
	say is=1 unprivileged upatchctl --daemon apply -p $root /tmp/first.upatch
	said "^upatchctl: apply: process $root \(victim\): $refusal\$"
	say is=1 unprivileged upatchctl apply -p $root /tmp/first.upatch
	said "^upatchctl: apply: process $root \(victim\): $refusal\$"
	say is=1 unprivileged upatchctl --daemon threads -p $root
	said "^upatchctl: threads: process $root \(victim\): $refusal\$"
	say is=1 unprivileged upatchctl enable /tmp/first.upatch
	said '^upatchctl: enable: .*may not change what is patched on this host: .*\[denied\]$'
	say is=1 unprivileged upatchctl disable first
	said '^upatchctl: disable: .*may not change what is patched on this host: .*\[denied\]$'
done
say is=1 as_user busctl call $manager Reload
said 'may not change what is patched on this host'
say is=1 as_user busctl call org.upatch.Manager1 /org/upatch/Manager1 org.freedesktop.DBus.Monitoring BecomeMonitor asu 0 0
said 'Access denied'
runs 6 plain@a
kill $own
