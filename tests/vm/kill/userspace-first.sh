# SPDX-License-Identifier: LGPL-2.1-or-later
# Apply and revert, killed: the next run finishes, or takes back
. /lib/vm/kill.sh
use first userspace-first 1 "6:6 6:1 1:1"
passes thorough
changes
end_passes 100
