# SPDX-License-Identifier: Apache-2.0
"""Training data: what an example is, where examples come from, and how they become batches."""
