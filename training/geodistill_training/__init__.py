# SPDX-License-Identifier: Apache-2.0
"""Learning without position labels. Sits on top of geodistill_core, which never imports it."""
