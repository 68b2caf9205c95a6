# SPDX-License-Identifier: Apache-2.0
"""What a training step minimizes; only those that are `labelled` read a truth."""
