# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, module_coming + pre-patch callback -ENODEV
enable callbacks
refuse_callbacks
refuse_plug plug
answer
disable callbacks
load_plug plug
unload_plug plug
