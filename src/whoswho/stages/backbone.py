"""Fetch the backbone: the first entry of `backbone.weights` that can be had.

Consumes: the network, or torchvision's cache, or a file named in params.yaml.
Produces: artifacts/backbone/: weights.safetensors (no classifier head) and source.json.
Command: python src/stage.py backbone
"""

from whoswho import paths
from whoswho.artifacts.model.backbone import save_backbone
from whoswho.backbone import weights
from whoswho.params import load_params


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    # A queued experiment runs in a copy of the tracked files; other files lie at the root.
    folders = list(dict.fromkeys((workspace, paths.root())))
    state, source = weights.fetch(
        params.backbone.weights, params.backbone.arch, params.backbone.seed, folders
    )
    with paths.fresh_folder(workspace / paths.BACKBONE) as out:
        save_backbone(out, state, source)
    print(f"backbone: {source.sentence()}")
