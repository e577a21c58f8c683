# SPDX-License-Identifier: LGPL-2.1-or-later
# There and back again
enable still
block
disable_pending still
reenable still
disable_pending still
reenable still
release
disable still
answer
