"""`whoswho export`: a model written in another form, and tried beside the one it was made from."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from whoswho import paths
from whoswho.artifacts.model import description as model_files
from whoswho.artifacts.split import load_dataset, open_prepared
from whoswho.errors import UserError
from whoswho.exporting import exports
from whoswho.exporting.answering import Answering
from whoswho.inference.model import Model, load_model
from whoswho.pictures import tensors

Format = Literal["onnx", "torchscript", "safetensors"]
Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # as `Answering` answers
Run = Callable[[NDArray[Any]], Arrays]

FILES: dict[Format, str] = {
    "onnx": "model.onnx",
    "torchscript": "model.pt",
    "safetensors": model_files.WEIGHTS,
}
SETTINGS = "settings.json"
CARD = "model_card.md"
EXAMPLE = Path(__file__).parent / "onnx_example.py"
OUTPUTS = ("probabilities", "similarity", "unknown")
_OPSET = 18
_BATCH = 16
_CLOSE = 1e-3  # between two probabilities of one model in two forms


def export(source: Path, version: str, target: Path, form: Format, workspace: Path) -> list[str]:
    """Write the model in `source` into the new folder `target`; returns lines to print.

    Args:
        version: what the model is called.
        workspace: whose prepared test pictures and card are taken, where they fit the model.

    Raises:
        UserError: the folder is not empty, a package is absent, or the answers differ.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is there already; name a new folder")
    model = load_model(source)
    answering = Answering(model)
    exports.note(workspace, target, model_files.model_digest(source))
    with paths.fresh_folder(target.resolve()) as folder:
        run = _WRITERS[form](answering, source, folder)
        paths.write_json(folder / SETTINGS, settings(model, version, form))
        paths.write_text(folder / CARD, card(model, version, source, workspace))
        compared = compare(model, run, workspace)
    size = (target / FILES[form]).stat().st_size / 1e6
    lines = [f"{target}: {version} as {form}, {FILES[form]} {size:.1f} MB"]
    if not answering.whole:
        lines.append(
            f"note: of {model.description.arch} the head alone can be exported: its input is the "
            "128 numbers that dlib gives for an aligned face; landmarks and network stay dlib's"
        )
    return [*lines, compared]


def settings(model: Model, version: str, form: Format) -> dict[str, Any]:
    """All that whoever runs the file needs to know besides it."""
    answering = Answering(model)
    description = model.description
    return {
        "version": version,
        "format": form,
        "file": FILES[form],
        "input": {
            "what": "prepared RGB pictures" if answering.whole else "features of the backbone",
            "type": "uint8" if answering.whole else "float32",
            "dimensions": ["pictures", *answering.shape],
        },
        "outputs": list(OUTPUTS),
        "labels": list(description.labels),
        "picture": asdict(description.picture),
        "mean": answering.mean.flatten().tolist(),
        "deviation": answering.deviation.flatten().tolist(),
        "temperature": description.temperature,
        "min_similarity": description.min_similarity,
        "arch": description.arch,
        "backbone": description.backbone.sentence(),
    }


def card(model: Model, version: str, source: Path, workspace: Path) -> str:
    """The model's card: the report's where that is of this model, else what model.json says."""
    own, written = workspace / paths.MODEL, workspace / paths.REPORTS / CARD
    digest = model_files.model_digest
    if written.is_file() and own.is_dir() and digest(own) == digest(source):
        return written.read_text(encoding="utf-8")
    description = model.description
    measured = "".join(f"- {k}: {v:.4g}\n" for k, v in description.cross_validation.items())
    return (
        f"# {version}\n\nIt says which of these people a picture looks like most: "
        f"{', '.join(description.labels)}. That is no proof of identity.\n\n"
        f"Backbone: {description.backbone.sentence()}. {description.untrained_note}\n\n"
        f"Measured on held-out pictures when it was trained:\n\n{measured}"
    )


def compare(model: Model, run: Run, workspace: Path) -> str:
    """What to say of how both forms answer the prepared test pictures, where there are any.

    Raises:
        UserError: they differ.
    """
    absent = "not compared: no prepared test pictures of its settings are here"
    try:
        dataset = load_dataset(workspace / paths.DATASET)
    except UserError:
        return absent
    if not dataset.splits or dataset.picture != model.description.picture:
        return absent
    examples, difference = dataset.examples[dataset.splits[-1]], 0.0
    whole = Answering(model).whole
    for start in range(0, len(examples), _BATCH):
        chosen = examples[start : start + _BATCH]
        images = [tensors.with_face(open_prepared(e.path), e.face) for e in chosen]
        expected = model.answer(images)
        probabilities, _, unknown = run(
            tensors.pixels(images).numpy() if whole else expected.features
        )
        off = float(np.abs(probabilities - expected.probabilities).max())
        same = probabilities.argmax(axis=1) == expected.probabilities.argmax(axis=1)
        difference = max(difference, off)
        if not (same & (unknown == expected.unknown)).all() or off > _CLOSE:
            raise UserError(
                f"nothing was exported: its answers differ from the model's (probabilities by "
                f"{off:.2g}); another version of the packages may cure it, see constraints.txt"
            )
    return (
        f"{len(examples)} test pictures: the same names, probabilities differ by at most "
        f"{difference:.2g}"
    )


def _write_onnx(answering: Answering, _source: Path, folder: Path) -> Run:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format onnx needs {error.name}: python -m pip install -c constraints.txt -e "
            '".[export]"'
        ) from None
    path = folder / FILES["onnx"]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            answering,
            (answering.example(),),
            path,
            input_names=["input"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"inputs": {0: torch.export.Dim("pictures")}},
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    if answering.whole:
        shutil.copy(EXAMPLE, folder / "example.py")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: tuple(session.run(None, {"input": inputs}))


def _write_torchscript(answering: Answering, _source: Path, folder: Path) -> Run:
    path = folder / FILES["torchscript"]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that it is an old way, and what it took for constants
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            answering, answering.example(), check_trace=False
        )
        traced.save(str(path))
        loaded = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return lambda inputs: _as_arrays(loaded(torch.from_numpy(inputs)))


def _write_safetensors(answering: Answering, source: Path, folder: Path) -> Run:
    from safetensors.torch import save_file

    state = model_files.read_weights(source)
    if not answering.whole:
        state = {name: value for name, value in state.items() if not name.startswith("backbone.")}
    save_file(state, folder / FILES["safetensors"])
    shutil.copy(source / model_files.DESCRIPTION, folder)
    if answering.whole:
        answering = Answering(load_model(folder))
    return lambda inputs: _as_arrays(answering(torch.from_numpy(inputs)))


_WRITERS: dict[Format, Callable[[Answering, Path, Path], Run]] = {
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
    "safetensors": _write_safetensors,
}


def _as_arrays(answer: tuple[torch.Tensor, ...]) -> Arrays:
    probabilities, similarity, unknown = (tensor.numpy(force=True) for tensor in answer)
    return probabilities, similarity, unknown
