# SPDX-License-Identifier: LGPL-2.1-or-later
# A replace patch that lacks the functions of two: these run their original code again
enable first
enable second
answer
enable_replace other
answer
gone first
gone second
disable other
answer
