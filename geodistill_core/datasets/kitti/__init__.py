# SPDX-License-Identifier: Apache-2.0
"""KITTI: a forward-looking camera on satellite images, with the test lists of cross-view localization."""
