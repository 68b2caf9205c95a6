# SPDX-License-Identifier: Apache-2.0
"""Fit a network's temperature, the scales of its covariance and its protection level to frames with known truth."""
