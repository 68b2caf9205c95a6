# SPDX-License-Identifier: Apache-2.0
"""VIGOR and KITTI as recorded drives."""
