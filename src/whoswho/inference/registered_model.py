"""The code file of the registered model: MLflow runs it where the model is loaded or served."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from whoswho.inference import payload
from whoswho.inference.predictor import Prediction, Predictor


class WhosWho(PythonModel):
    """Pictures in (column `image`: bytes, base64 or data URL), names and probabilities out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were registered with this file."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None
    ) -> list[dict[str, Any]]:
        """One answer a row, in order; a picture that cannot be read says why in `problem`."""
        pictures: list[bytes] = []
        problems: list[str | None] = []
        for value in model_input["image"]:
            try:
                pictures.append(payload.to_bytes(value))
                problems.append(None)
            except ValueError as error:
                problems.append(str(error))
        predictions = iter(self.predictor.predict(pictures))
        return [
            _as_json(Prediction("", problem=problem) if problem else next(predictions))
            for problem in problems
        ]


def _as_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "label": None if prediction.problem else prediction.title,
        "probability": prediction.probability,
        "similarity": prediction.similarity,
        "unknown": prediction.unknown,
        "faces": prediction.faces,
        "probabilities": prediction.probabilities,
        "problem": prediction.problem,
    }


set_model(WhosWho())
