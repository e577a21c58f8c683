# SPDX-License-Identifier: LGPL-2.1-or-later
# test-shadow-vars.sh
enable shadow
disable shadow
