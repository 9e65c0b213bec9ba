"""Name the person on a picture: python example.py PICTURE [LEFT TOP RIGHT BOTTOM]

The four numbers are the face's box in the upright picture, as the model was trained with its
surroundings; without them the whole picture is looked at. Needs onnxruntime and Pillow.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder = Path(__file__).parent
settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
picture = settings["picture"]
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
if len(sys.argv) == 6:
    left, top, right, bottom = map(int, sys.argv[2:])
    margin = 1 + 2 * picture["margin"]
    side = max(1, min(round(max(right - left, bottom - top) * margin), *image.size))
    left = min(max(round((left + right - side) / 2), 0), image.width - side)
    top = min(max(round((top + bottom - side) / 2), 0), image.height - side)
    image = image.crop((left, top, left + side, top + side))
image = image.resize((picture["size"], picture["size"]), Image.Resampling.BICUBIC)
session = onnxruntime.InferenceSession(folder / settings["file"])
answer = session.run(None, {"input": np.asarray(image)[np.newaxis]})
probabilities, similarity, unknown = (values[0] for values in answer)
best = settings["labels"][int(probabilities.argmax())]
print("unknown" if unknown else best, f"{probabilities.max():.4f} {similarity:.4f}", sep="\t")
