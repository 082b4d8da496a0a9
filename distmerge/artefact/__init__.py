"""Takes a folder that holds one merged model; gives its predictions, without checkpoints or Ray."""

from distmerge.artefact.card import model_card
from distmerge.artefact.description import (
    CARD,
    COEFFICIENTS,
    CORRECTIONS,
    MODEL,
    OWN,
    RECIPE,
    ROUTER,
    VECTORS,
    Description,
    head_file,
)
from distmerge.artefact.load import load
from distmerge.artefact.model import LoadedModel, Prediction
from distmerge.artefact.pictures import Unreadable

__all__ = [
    "CARD",
    "COEFFICIENTS",
    "CORRECTIONS",
    "MODEL",
    "OWN",
    "RECIPE",
    "ROUTER",
    "VECTORS",
    "Description",
    "LoadedModel",
    "Prediction",
    "Unreadable",
    "head_file",
    "load",
    "model_card",
]
