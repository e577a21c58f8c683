# SPDX-License-Identifier: LGPL-2.1-or-later
# test-livepatch.sh, atomic replace: what it supersedes goes without being disabled
enable first
enable_replace other
answer
gone first
disable other
answer
