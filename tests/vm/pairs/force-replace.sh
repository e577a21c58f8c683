# SPDX-License-Identifier: LGPL-2.1-or-later
# Forced to patched with replace: every other patch is pinned
enable force_old
block
enable_pending_replace force_replace
force force_replace
release
pinned force_old
answer
disable force_replace
answer
