# SPDX-License-Identifier: Apache-2.0
"""The SynthCity benchmark: what each method gains on streets that a network has never seen."""
