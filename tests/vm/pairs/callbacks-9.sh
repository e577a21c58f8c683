# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, busy target module
block
enable_pending busy
load_plug plug
unload_plug plug
disable busy
release
