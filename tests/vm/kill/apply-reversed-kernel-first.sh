# SPDX-License-Identifier: LGPL-2.1-or-later
# An apply that a thread of the process holds up, killed when it reverses the kernel and that process
. /lib/vm/kill.sh
use unblock kernel-first 4 "4:4 4:6 6:6"
hold() { block_thread; }
let_go() { release_thread; }
passes sparse
reversals disabled enabled in-function apply --wait=0.5 -p $victim $file
nothing_is_left
end_passes 10
