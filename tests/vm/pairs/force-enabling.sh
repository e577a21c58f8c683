# SPDX-License-Identifier: LGPL-2.1-or-later
# Forced to patched without replace: nothing is pinned
block
enable_pending force_enable
force force_enable
answer
release
disable force_enable
answer
