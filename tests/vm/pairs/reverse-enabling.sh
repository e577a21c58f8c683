# SPDX-License-Identifier: LGPL-2.1-or-later
# Reversal while enabling: the thread is still in the old function
block
enable_pending unblock
disable unblock
answer
release
answer
