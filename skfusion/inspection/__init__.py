"""What a fitted estimator relied on, whether that is true, and how far it bends."""

from skfusion.inspection.contributions import modality_contributions
from skfusion.inspection.corruptions import (
    CellCorruption,
    ImageBlur,
    ImageJPEG,
    ImageOcclusion,
    SoundBabble,
    SoundBandPass,
    SoundClipping,
    TabularShift,
    TextDeletion,
    TextTypos,
)
from skfusion.inspection.elements_display import ElementsDisplay
from skfusion.inspection.faithfulness import FaithfulnessReport, faithfulness_report
from skfusion.inspection.fusion_help import FusionHelp, does_fusion_help
from skfusion.inspection.learning_curves import LearningCurvesDisplay
from skfusion.inspection.reliability import ReliabilityDisplay
from skfusion.inspection.robustness import robustness_curve
from skfusion.inspection.robustness_display import RobustnessCurveDisplay
from skfusion.inspection.shapley import modality_shapley
from skfusion.inspection.weights_display import ModalityWeightsDisplay

__all__ = [
    "CellCorruption",
    "ElementsDisplay",
    "FaithfulnessReport",
    "FusionHelp",
    "ImageBlur",
    "ImageJPEG",
    "ImageOcclusion",
    "LearningCurvesDisplay",
    "ModalityWeightsDisplay",
    "ReliabilityDisplay",
    "RobustnessCurveDisplay",
    "SoundBabble",
    "SoundBandPass",
    "SoundClipping",
    "TabularShift",
    "TextDeletion",
    "TextTypos",
    "does_fusion_help",
    "faithfulness_report",
    "modality_contributions",
    "modality_shapley",
    "robustness_curve",
]
