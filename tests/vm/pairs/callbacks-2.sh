# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, module_coming notifier
enable callbacks
load_plug plug
disable callbacks
unload_plug plug
