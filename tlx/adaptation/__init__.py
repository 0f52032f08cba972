"""Domain adaptation: what a strategy adds to the loss so that a network serves images of a domain without labels."""

from tlx.adaptation.adversary import Cdan, Dann
from tlx.adaptation.base import Adaptation, Domain
from tlx.adaptation.confusion import Mcc
from tlx.adaptation.moments import AdaBn, Coral, Dan
from tlx.adaptation.self_training import SelfTraining

__all__ = ["AdaBn", "Adaptation", "Cdan", "Coral", "Dan", "Dann", "Domain", "Mcc", "SelfTraining"]
