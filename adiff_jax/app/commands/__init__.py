"""The commands of `adiff`: one dataclass each, whose fields are its options. Heavy imports only inside `run`."""

from typing import Annotated

import tyro

from adiff_jax.app.commands.animate import Animate
from adiff_jax.app.commands.data import Data
from adiff_jax.app.commands.edit import Edit
from adiff_jax.app.commands.evaluate import Evaluate
from adiff_jax.app.commands.personalise import Personalise
from adiff_jax.app.commands.prepare import Prepare
from adiff_jax.app.commands.reenact import Demo, Reenact
from adiff_jax.app.commands.serve import Serve
from adiff_jax.app.commands.train import Train
from adiff_jax.app.commands.verify import Verify
from adiff_jax.app.commands.weights import Import, Info, MakeBundle

AnyCommand = (
    Annotated[Reenact, tyro.conf.subcommand("reenact")]
    | Annotated[Animate, tyro.conf.subcommand("animate")]
    | Annotated[Edit, tyro.conf.subcommand("edit")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Personalise, tyro.conf.subcommand("personalise")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[MakeBundle, tyro.conf.subcommand("bundle")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)
