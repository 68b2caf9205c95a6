# SPDX-License-Identifier: Apache-2.0
"""The one exception family. Every message names the offending value, the limit and the remedy."""


class GeodistillError(Exception):
    """Root of every error that this package raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 2


class ConfigError(GeodistillError):
    """A parameter, recipe or command-line value is outside its limits."""


class MapError(GeodistillError):
    """Map imagery is missing, unreadable or does not cover the place asked for."""

    exit_code = 4


class CheckpointError(GeodistillError):
    """A checkpoint folder is incomplete, altered, of another architecture or gives other outputs than promised."""

    exit_code = 4


class BagError(GeodistillError):
    """A recorded drive cannot be read or lacks a stream that localization needs."""

    exit_code = 4


class DatasetError(GeodistillError):
    """A data set, image or label is missing or malformed."""

    exit_code = 4


class RuntimeBackendError(GeodistillError):
    """The network could not be run, or its output is not a distribution."""

    exit_code = 4


class NotFiniteError(RuntimeBackendError):
    """The network answered NaN or infinity, or a heat map that is no distribution."""


class TrainingError(GeodistillError):
    """A training run has gone wrong in a way that more steps would not mend."""

    exit_code = 4
