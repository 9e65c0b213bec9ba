"""A registered version that answers: by today's code as `whoswho predict` does, and as MLflow."""

from __future__ import annotations

import base64
import copy
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import scoring_server
from PIL import Image
from starlette.types import ASGIApp

from whoswho.backbone import network
from whoswho.backbone.network.architectures import normalization
from whoswho.errors import UserError, one_line
from whoswho.evaluation import attention
from whoswho.inference.model import Model
from whoswho.inference.predictor import Prediction, Predictor
from whoswho.lifecycle import prediction as predicting
from whoswho.lifecycle.neighbours import Neighbours
from whoswho.lifecycle.registry import registration, version_files
from whoswho.lifecycle.serving import bodies
from whoswho.lifecycle.tracking.store import Store
from whoswho.pictures import tensors, thumbnail
from whoswho.reporting.plots import sheets

SHOWN = 320  # pixels, longest side of what the page shows of the network's input


@dataclass(frozen=True)
class ServedVersion:
    """A version that answers.

    Attributes:
        name: what its answers call it.
        scoring: MLflow's own scoring app on it.
        neighbours: its training pictures, where the workspace has them; else `no_why` says why
            not.
    """

    name: str
    number: int
    predictor: Predictor
    scoring: ASGIApp
    neighbours: Neighbours | None
    no_why: str
    explainer: Explainer = field(repr=False)

    def answer(self, uploads: Sequence[bodies.Upload], *, page: bool) -> list[dict[str, Any]]:
        """What `whoswho predict --json` says of pictures, and why where that is known.

        Args:
            page: also what the page shows: what the network looked at, as pictures.
        """
        stream = self.predictor.stream(
            [upload.content for upload in uploads], keep_images=page, keep_features=True
        )
        answers = []
        for upload, prediction in zip(uploads, stream, strict=True):
            answer = predicting.as_json(prediction, self.name, 0) | {"file": upload.name}
            near = self.neighbours.nearest(prediction) if self.neighbours else []
            answer["why"] = [asdict(neighbour) for neighbour in near] if self.neighbours else None
            if page:
                answer["looked"] = self.explainer.picture(prediction)
                for neighbour in answer["why"] or ():
                    neighbour["picture"] = self._thumbnail(neighbour["file"])
            answers.append(answer)
        return answers

    def _thumbnail(self, file: str) -> str | None:
        """A training picture as the network saw it; None where it is gone."""
        assert self.neighbours is not None
        try:
            with Image.open(self.neighbours.prepared[file]) as image:
                return _data_url(image)
        except OSError:
            return None


class Explainer:
    """Shows where in a picture a model found its answer.

    What is asked of the network leaves marks in it while it runs, so this is a copy of its own,
    made when it is first asked.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._network: network.Network | None = None
        self._lock = threading.Lock()

    def picture(self, prediction: Prediction) -> str | None:
        """What the network saw under what counted for its answer, as a data: URL.

        None without an answer; without the heat where the backbone is no network of torch.
        """
        if prediction.prepared is None or prediction.label is None:
            return None
        seen = prediction.prepared
        if not network.learns(self._model.network.backbone):
            return _data_url(seen)
        label = self._model.labels.index(prediction.label)
        with self._lock:
            if self._network is None:
                self._network = copy.deepcopy(self._model.network)
            inputs = tensors.to_tensor([seen], normalization(self._network.backbone))
            (heat,) = attention.heat_maps(self._network, inputs, [label])
        return _data_url(sheets.under_its_heat(seen, heat))


def load(store: Store, number: int, workspace: Path) -> ServedVersion:
    """A version, loaded and tried: it has answered its own example.

    Raises:
        UserError: it cannot, and why.
    """
    name = f"models:/{store.project}/{number}"
    folder = version_files.model_folder(store, name)
    predictor = Predictor(folder)
    try:
        model = mlflow.pyfunc.load_model(name)
        model.predict(registration.example())
        # One large picture at a time in all of the server, whichever way it came.
        model.unwrap_python_model().predictor.large_pictures = predictor.large_pictures
    except Exception as error:  # noqa: BLE001 - it runs the version's own code
        raise UserError(f"{type(error).__name__}: {one_line(error)}") from None
    neighbours, no_why = None, ""
    try:
        neighbours = Neighbours.of(workspace, predictor.model)
    except UserError as error:
        no_why = str(error)
    app, explainer = scoring_server.init(model), Explainer(predictor.model)
    return ServedVersion(name, number, predictor, app, neighbours, no_why, explainer)


def _data_url(image: Image.Image) -> str:
    content = thumbnail.jpeg(image.convert("RGB"), SHOWN, 85)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
