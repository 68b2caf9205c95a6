# SPDX-License-Identifier: Apache-2.0
"""Scoring: errors against truth, honesty of the claimed covariance, calibration of heat maps, the report."""
