"""From a query to the moments that answer it."""

from seal.ground.moments import Curve, find_moments, relevance_curve

__all__ = ["Curve", "find_moments", "relevance_curve"]
