# SPDX-License-Identifier: LGPL-2.1-or-later
# Reversal while disabling: the thread is in the new function
enable still
block
disable_pending still
reenable still
answer
release
disable still
answer
