"""Names of the logical axes of parameters and activations; `runtime.sharding` maps them to axes of the mesh."""

BATCH = "batch"
EMBED = "embed"
HEADS = "heads"
HIDDEN = "mlp"
LAYERS = "layers"
TOKENS = "tokens"
