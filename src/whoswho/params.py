"""params.yaml as frozen, validated objects; the only module that reads the file."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from whoswho import git, paths
from whoswho.arches import DLIB, FACES, LITE0
from whoswho.errors import UserError, one_line

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A section of params.yaml: no key unknown, no type guessed, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def as_name(text: str) -> str:
    """`text` as a project's name: a dash for what MLflow or a model's address takes badly."""
    return re.sub(r"^\.|[/:@'\"`\\%\x00-\x1f]", "-", text.strip())[:200].rstrip() or "-"


def _name(text: str) -> str:
    if text != as_name(text):
        raise ValueError(f"must be a name such as {as_name(text)!r}")
    return text


class Project(Section):
    """What the experiment and the registered model are called."""

    name: Annotated[str, AfterValidator(_name)] | None


class Clean(Section):
    """Which pictures stay."""

    faces: Literal["one", "any"]
    face_probability: Fraction
    identity_false_alarm_rate: Annotated[float, Field(ge=0, le=0.2)]
    min_side: Count
    max_aspect_ratio: Annotated[float, Field(ge=1)]
    min_brightness: Annotated[float, Field(ge=0, le=255)]
    max_brightness: Annotated[float, Field(ge=0, le=255)]
    min_sharpness: Annotated[float, Field(ge=0)]
    min_contrast: Annotated[float, Field(ge=0, le=255)]
    min_face_size: Fraction
    second_face_min_ratio: Fraction
    second_face_min_sharpness: Fraction
    near_duplicate_max_bits: Annotated[int, Field(ge=0, le=64)]
    near_duplicate_min_correlation: Fraction
    cross_label_max_fraction: Fraction


class Split(Section):
    """Fractions of the pictures that train, validate and test."""

    train: Positive
    validation: Positive
    test: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Split:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class Picture(Section):
    """From a picture to the network's input."""

    crop: Literal["face", "whole"]
    margin: Annotated[float, Field(ge=0, le=3)]
    size: Annotated[int, Field(ge=32, le=1024)]


class Backbone(Section):
    """The backbone: its architecture, where its weights come from, what of it learns."""

    arch: Annotated[str, Field(min_length=1)]
    weights: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    seed: Seed
    unfreeze: Literal[0, 1, 2, 3, 4, "all"]

    @model_validator(mode="after")
    def _unfreezes_what_can_learn(self) -> Backbone:
        if self.arch == DLIB and self.unfreeze != 0:
            raise ValueError(
                f"unfreeze must be 0 with arch {DLIB}, which cannot learn; to fine-tune take "
                f"{LITE0} or a classifier of torchvision"
            )
        return self


class Augment(Section):
    """The training views of a picture."""

    views: Count
    shear: Annotated[float, Field(ge=0, lt=90)]
    scale: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    flip: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _scale_in_order(self) -> Augment:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must go from small to large, not {self.scale}")
        return self


class Suspects(Section):
    """Which pictures a person is asked about, because their label looks wrong."""

    folds: Annotated[int, Field(ge=2)]
    max_fraction: Fraction
    seed: Seed


class Train(Section):
    """The head, the part of the backbone that learns, and how."""

    epochs: Count
    batch: Count
    accumulate: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Positive
    backbone_lr: Positive
    backbone_decay: Annotated[float, Field(gt=0, le=1)]
    schedule: Literal["constant", "cosine"]
    warmup: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Positive | None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    balance: Literal["none", "weights", "sampler"]
    keep: Literal["last", "validation/loss", "validation/accuracy"]
    patience: Annotated[int, Field(ge=0)]
    repeats: Count
    head: list[Count]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    standardize: bool
    false_reject_rate: Fraction
    folds: Annotated[int, Field(ge=2)]
    cv_repeats: Count
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Train:
        if self.warmup >= self.epochs > 1 or self.warmup > self.epochs:
            raise ValueError(
                f"warmup must end before the last epoch: {self.warmup:g} of {self.epochs} epochs"
            )
        return self

    @model_validator(mode="after")
    def _patience_watches(self) -> Train:
        if self.patience and self.keep == "last":
            raise ValueError(
                "patience needs a metric to watch: set keep to validation/loss or "
                "validation/accuracy, or patience to 0"
            )
        return self


class Evaluate(Section):
    """How the judgement is drawn up."""

    bootstrap: Annotated[int, Field(ge=100)]
    bins: Count
    altered: Annotated[int, Field(ge=0)]
    seed: Seed


class Register(Section):
    """Which trained models enter the registry."""

    when: Literal["always", "improves", "never"]


class Promote(Section):
    """What the gate asks of a candidate."""

    margin: Fraction
    recall_floor: Fraction
    significance: Fraction | None
    strangers_margin: Fraction
    newcomer_likeness: Fraction


class Params(Section):
    """The whole of params.yaml."""

    project: Project
    clean: Clean
    split: Split
    picture: Picture
    backbone: Backbone
    augment: Augment
    suspects: Suspects
    train: Train
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    promote: Promote

    @model_validator(mode="after")
    def _faces_for_a_face_backbone(self) -> Params:
        arch = self.backbone.arch
        if arch in FACES and self.clean.faces == "any":
            raise ValueError(
                f"backbone.arch: {arch} tells faces apart, and clean.faces: any says that these "
                f"are no people; take backbone.arch: {LITE0}, or set clean.faces: one"
            )
        if arch == DLIB and self.picture.crop == "whole":
            raise ValueError(
                f"picture.crop: {arch} aligns the face, and picture.crop: whole does not "
                f"say where it is; set picture.crop: face, or take backbone.arch: {LITE0}"
            )
        return self


class _ProjectAlone(Section):
    project: Project


def load_params(folder: Path | None = None) -> Params:
    """Read and validate the params.yaml of `folder` (default: the workspace).

    Raises:
        UserError: names the key, what is wrong with it and what is allowed.
    """
    path = (folder or paths.workspace()) / paths.PARAMS
    return _validated(Params, path, _content(path))


def load_project(folder: Path) -> Project:
    """The section `project` alone: a mistake elsewhere keeps nobody from the runs there are.

    Raises:
        UserError: as `load_params`.
    """
    path = folder / paths.PARAMS
    content = _content(path)
    section = {key: content[key] for key in ("project",) if key in content}
    return _validated(_ProjectAlone, path, section).project


def _content(path: Path) -> dict[str, Any]:
    try:
        # YAML 1.2, as DVC reads it: 1e-3 is a number there and a text in YAML 1.1.
        text = path.read_text(encoding="utf-8-sig")
        git.check_merged(path, text)
        content = YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise UserError(
            f"{path}: not there; restore it with `git checkout {paths.PARAMS}`"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8 in your editor") from None
    except YAMLError as error:
        raise UserError(f"{path}{_yaml_problem(error)}; mend or restore it") from None
    except (ValueError, RecursionError) as error:  # a number without end, lists in lists
        raise UserError(f"{path}: {one_line(error)}; mend or restore it") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: has no sections; restore it with `git checkout {paths.PARAMS}`")
    return content


def _validated(model: type[Model], path: Path, content: dict[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error)}") from None


def flatten(params: BaseModel) -> dict[str, Any]:
    """`section.key` -> value, named as in params.yaml."""
    flat: dict[str, Any] = {}
    for section, values in params.model_dump(by_alias=True).items():
        for key, value in values.items():
            flat[f"{section}.{key}"] = value
    return flat


def _yaml_problem(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    return f"{f', line {mark.line + 1}' if mark else ''}: {problem}"


def _first_problem(error: ValidationError) -> str:
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    where = ".".join(str(part) for part in problem["loc"] if not _is_branch(part))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown{_nearest(where)}{more}"
    if problem["type"] == "missing":
        return f"{where}: missing; `git diff {paths.PARAMS}` shows what went{more}"
    if problem["type"] == "literal_error":
        return f"{where}: {problem['input']!r} is not one of {problem['ctx']['expected']}{more}"
    message = problem["msg"].removeprefix("Value error, ")
    if not where:  # of several sections: the message names them
        return f"{message}{more}"
    given = "" if isinstance(problem["input"], dict) else f", not {problem['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{given}{more}"


def _is_branch(part: int | str) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key."""
    return isinstance(part, str) and part in {"float", "constrained-float", "str", "none"}


def _nearest(where: str) -> str:
    """What an unknown key may be meant as, else what there is: of its section, or the sections."""
    keys = {
        field.alias or name: list(field.annotation.model_fields)  # type: ignore[union-attr]
        for name, field in Params.model_fields.items()
    }
    section, _, key = where.partition(".")
    # Of keys in a section their own names are compared: the section's makes all alike.
    known = keys.get(section, []) if key else [*keys, *(f"{s}.{k}" for s in keys for k in keys[s])]
    if close := difflib.get_close_matches(key or where, known, 1, 0.6):
        return f"; did you mean {f'{section}.{close[0]}' if key else close[0]}?"
    if section in keys:
        return f"; known are {', '.join(keys[section])}"
    return f"; sections are {', '.join(keys)}"
