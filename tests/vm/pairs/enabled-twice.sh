# SPDX-License-Identifier: LGPL-2.1-or-later
# What is enabled is not enabled again, and what is not there not disabled
enable first
refuse_again first
answer
disable first
refuse_disable first
answer
