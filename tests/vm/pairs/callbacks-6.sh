# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, pre-patch callback -ENODEV
load_plug plug
refuse_callbacks
refuse_enable callbacks
unload_plug plug
answer
