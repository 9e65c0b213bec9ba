"""`python -m bench.exporting`: how fast ONNX Runtime and this program answer prepared pictures."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.workspace import REPOSITORY

ROUNDS = 5
PICTURES = 32  # a round
BATCHES = (1, 16)


def exporting(scratch: Path) -> None:
    """The model at hand, in 32 bits, on every core: ONNX Runtime beside ours."""
    from whoswho import paths
    from whoswho.artifacts.split import load_dataset, open_prepared
    from whoswho.exporting import export
    from whoswho.inference.model import load_model

    source = REPOSITORY / paths.MODEL
    if not source.is_dir():
        print("not measured; run `make repro` first")
        return
    try:
        import onnxruntime
    except ImportError:
        sys.exit('bench: exporting needs python -m pip install -c constraints.txt -e ".[export]"')
    for line in export.export(source, "model", scratch / "onnx", "onnx", REPOSITORY):
        print(line)
    dataset = load_dataset(REPOSITORY / paths.DATASET)
    images = [open_prepared(example.path) for example in dataset.examples["train"][: BATCHES[-1]]]
    pixels = np.stack([np.asarray(image) for image in images])
    model = load_model(source)
    session = onnxruntime.InferenceSession(scratch / "onnx" / "model.onnx")
    for batch in BATCHES:
        ours = rate(lambda size=batch: model.answer(images[:size]), batch)
        theirs = rate(lambda size=batch: session.run(None, {"input": pixels[:size]}), batch)
        print(
            f"{batch} at once: ONNX Runtime {theirs:.1f} pictures/s, ours {ours:.1f}, "
            f"{theirs / ours:.2f} times"
        )


def rate(run: Callable[[], object], batch: int) -> float:
    """Pictures a second, the best of a few rounds."""
    run()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(PICTURES // batch):
            run()
        seconds.append(time.perf_counter() - started)
    return PICTURES / min(seconds)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
        exporting(Path(folder))
