"""Fitted models as files, without pickle."""

from skfusion.persistence.archive import load, save

__all__ = ["load", "save"]
