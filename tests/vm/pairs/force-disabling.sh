# SPDX-License-Identifier: LGPL-2.1-or-later
# Forced to unpatched: that patch is pinned
enable force_disable
block
disable_pending force_disable
force force_disable
release
pinned force_disable
answer
