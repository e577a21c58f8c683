# SPDX-License-Identifier: LGPL-2.1-or-later
test_of integration/library_filter
