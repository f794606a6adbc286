"""Which part of a driver's motion is taken, and from where it starts; imports nothing heavy."""

from typing import Literal

Region = Literal["all", "expression", "pose", "lips", "eyes"]
Start = Literal["relative", "absolute"]
