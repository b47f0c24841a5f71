"""Strategies that keep a modality which learns fast from starving the others."""

from skfusion.balance.base import Balance
from skfusion.balance.mmpareto import MMPareto
from skfusion.balance.ogm_ge import OGMGE

__all__ = ["OGMGE", "Balance", "MMPareto"]
