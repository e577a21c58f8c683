# SPDX-License-Identifier: LGPL-2.1-or-later
# Which of two functions of a name; without position, or beyond. upatch refuses when it builds.
enable sympos_first
answer
disable sympos_first
enable sympos_second
answer
disable sympos_second
refuse_enable sympos_ambiguous
refuse_enable sympos_beyond
answer
