"""The options of personalising: their one definition. Imports nothing heavy, so that `adiff --help` is quick."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class PersonaliseOptions:
    """How the models are trained further, how long, and by what it is judged.

    Attributes:
        minutes: of training, looks at held-out frames included; what comes before and after is not counted.
        decoder_share: share of these minutes for the decoder, the rest for the sDiT.
        every: steps between looks at the held-out frames.
        patience: looks without gain after which a training ends.
        held_out: share of the training frames that are held out, the last ones of each clip.
        test: share of each clip for the final test, its end.
        batch_size: pictures, or sequences, of a step.
        sdit_learning_rate: of the sDiT.
        sdit_ema_decay: of the average of its weights.
        decoder_learning_rate: of the decoder.
        decoder_noise: deviation of the noise on its latents.
        seed: of the trainings.
    """

    minutes: float = 20.0
    decoder_share: float = 0.15
    every: int = 100
    patience: int = 4
    held_out: float = 0.1
    test: float = 0.2
    batch_size: int = 16
    sdit_learning_rate: float = 1e-3
    sdit_ema_decay: float = 0.98
    decoder_learning_rate: float = 5e-4
    decoder_noise: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.decoder_share <= 1:
            raise ValueError(f"decoder_share must be between 0 and 1, not {self.decoder_share}")
        if min(self.every, self.patience, self.batch_size) < 1:
            raise ValueError("every, patience and batch_size must be at least 1")
