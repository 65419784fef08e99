"""SEAL: hours of video as a small set of semantic tokens."""

__version__ = "0.1.0"
