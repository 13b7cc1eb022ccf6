"""Pictures of training runs, networks and certified accuracies; they need matplotlib (extra ``plot``).

Every function draws on the axes it is given, or on a new figure of pyplot, and returns the axes.
"""

from bdnn.plotting.accuracy import plot_certified, plot_pareto
from bdnn.plotting.card import plot_card
from bdnn.plotting.history import plot_history
from bdnn.plotting.regions import plot_decision_regions
from bdnn.plotting.structure import plot_network, plot_weights

__all__ = [
    "plot_card",
    "plot_certified",
    "plot_decision_regions",
    "plot_history",
    "plot_network",
    "plot_pareto",
    "plot_weights",
]
