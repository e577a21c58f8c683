# SPDX-License-Identifier: LGPL-2.1-or-later
# A thread in the old function holds the transition until it has left
block
enable_pending unblock
answer
release
settle unblock
answer
disable unblock
answer
