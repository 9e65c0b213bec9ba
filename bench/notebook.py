"""The blog's notebook restated: the yardstick that `python -m bench` measures against.

Whole pictures squashed to 224x224, torchvision's ResNet-50 with its backbone's gradients off but
left in train mode as in the notebook, head 2048-128-labels, Adam at its defaults, cross-entropy,
batch 32, every picture decoded and passed through the backbone once an epoch.

usage: python bench/notebook.py FOLDER BACKBONE.safetensors EPOCHS
  FOLDER has train/<label>/* and validation/<label>/*
  BACKBONE is artifacts/backbone/weights.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import datasets, models, transforms


def main(folder: Path, backbone: Path, epochs: int) -> None:
    """Train as the notebook does and print each epoch's losses and accuracies."""
    torch.manual_seed(0)
    to_input = [
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    square = transforms.Resize((224, 224))
    views = {
        "train": transforms.Compose(
            [
                square,
                transforms.RandomAffine(0, shear=10, scale=(0.8, 1.2)),
                transforms.RandomHorizontalFlip(),
                *to_input,
            ]
        ),
        "validation": transforms.Compose([square, *to_input]),
    }
    sets = {split: datasets.ImageFolder(folder / split, view) for split, view in views.items()}
    loaders = {
        split: torch.utils.data.DataLoader(data, 32, shuffle=split == "train")
        for split, data in sets.items()
    }
    network = models.resnet50()
    network.load_state_dict(load_file(backbone), strict=False)  # the backbone has no classifier
    network.requires_grad_(False)
    network.fc = nn.Sequential(
        nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, len(sets["train"].classes))
    )
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(network.fc.parameters())
    for epoch in range(1, epochs + 1):
        for split, loader in loaders.items():
            network.train(split == "train")
            loss_sum = right = 0.0
            with torch.set_grad_enabled(split == "train"):
                for pictures, labels in loader:
                    logits = network(pictures)
                    loss = criterion(logits, labels)
                    if split == "train":
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    loss_sum += loss.item() * len(labels)
                    right += (logits.argmax(1) == labels).sum().item()
            size = len(sets[split])
            print(f"epoch {epoch} {split}: loss {loss_sum / size:.3f}, {right / size:.3f} right")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
