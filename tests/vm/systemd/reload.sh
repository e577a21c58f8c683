# SPDX-License-Identifier: LGPL-2.1-or-later
# systemctl reload: the configuration is read again, and a file that cannot be understood changes nothing
start_service plain@a
start_service plain@b
pid=$(pid_of upatchd)
mkdir -p /etc/upatch/upatchd.conf.d
printf '[Exclude]\nUnit=plain@b.service\n[Patch]\nFile=/patches/first.upatch\n' >/etc/upatch/upatchd.conf.d/test.conf
say systemctl reload upatchd
is_host 1 patched 1 skipped
runs 1 plain@a
runs 6 plain@b

echo nonsense >/etc/upatch/upatchd.conf.d/test.conf
say systemctl reload upatchd
has_problem() { [ "$(property Problems)" = "u 1" ]; }
until_ok has_problem
say upatchctl status --daemon
said 'test.conf'
runs 1 plain@a

rm -r /etc/upatch/upatchd.conf.d
say systemctl reload upatchd
is_host
runs 6 plain@a plain@b
is_shown upatchd ActiveState=active NRestarts=0 "MainPID=$pid"
