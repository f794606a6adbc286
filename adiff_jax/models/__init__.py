"""Linen modules and their config dataclasses: pure functions of parameters, without input or output."""
