# SPDX-License-Identifier: Apache-2.0
"""Models scored on VIGOR and KITTI, sample by sample."""
