"""The code file of the registered model: MLflow runs it where the model is loaded or served."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from whoswho.inference import payload
from whoswho.inference.predictor import Answer, Predictor


class WhosWho(PythonModel):
    """Pictures in (column `image`: bytes, base64 or data URL), names and probabilities out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that were registered with this file."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None
    ) -> list[dict[str, Any]]:
        """One answer a row, in order; a picture that cannot be read says why in `problem`."""
        answers: list[Answer | None] = []
        pictures: list[bytes] = []
        for value in model_input["image"]:
            try:
                pictures.append(payload.to_bytes(value))
                answers.append(None)
            except ValueError as error:
                answers.append(Answer("", problem=str(error)))
        named = iter(self.predictor.predict(pictures))
        return [_as_json(answer or next(named)) for answer in answers]


def _as_json(answer: Answer) -> dict[str, Any]:
    return {
        "label": None if answer.problem else answer.title,
        "probability": answer.probability,
        "unknown": answer.unknown,
        "probabilities": answer.probabilities,
        "problem": answer.problem,
    }


set_model(WhosWho())
