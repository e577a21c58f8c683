# SPDX-License-Identifier: LGPL-2.1-or-later
# A revert that a thread of the process holds up, killed when it enables all again
. /lib/vm/kill.sh
use still userspace-first 5 "6:6 6:5 5:5"
hold() { block_thread; }
let_go() { release_thread; }
passes thorough
enabled
reversals enabled disabled in-function revert --wait=0.5 -p $victim --file $file
disabled
end_passes 10
