# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints become checkpoint folders here, and nowhere else."""
