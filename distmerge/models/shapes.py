"""The tensors of a tower without its weights: by formula, or of a module that holds none."""

from collections.abc import Iterator

from distmerge.spec import AnyTower, TowerConfig

Shape = tuple[int, ...]


def tower_shapes(config: AnyTower) -> dict[str, Shape]:
    """Give names and shapes of a tower's tensors.

    Those of open_clip's ``VisionTransformer`` by formula, since it takes seconds to import.

    Raises:
        CheckpointError: the tower's library is not installed, or does not know such a tower.
    """
    if isinstance(config, TowerConfig):
        return dict(_tensors(config))
    from distmerge.models.architecture import skeleton

    module = skeleton(config)
    state = module.state_dict()
    return {n.removeprefix(module.PREFIX): tuple(tensor.shape) for n, tensor in state.items()}


def num_tokens(config: TowerConfig) -> int:
    """Give the tokens of an image: its patches and the class token."""
    return (config.image_size // config.patch_size) ** 2 + 1


def _tensors(config: TowerConfig) -> Iterator[tuple[str, Shape]]:
    width, patch = config.width, config.patch_size
    yield "class_embedding", (width,)
    yield "positional_embedding", (num_tokens(config), width)
    if config.projection:
        yield "proj", (width, config.output_dim)
    yield "conv1.weight", (width, 3, patch, patch)
    if not config.no_ln_pre:
        yield from _affine("ln_pre", (width,))
    for block in range(config.layers):
        for name, shape in _block(config):
            yield f"transformer.resblocks.{block}.{name}", shape
    yield from _affine("ln_post", (width,))


def _block(config: TowerConfig) -> Iterator[tuple[str, Shape]]:
    width, hidden = config.width, int(config.width * config.mlp_ratio)
    scaled = config.ls_init_value is not None
    yield from _affine("ln_1", (width,))
    yield "attn.in_proj_weight", (3 * width, width)
    yield "attn.in_proj_bias", (3 * width,)
    yield from _affine("attn.out_proj", (width, width))
    if scaled:
        yield "ls_1.gamma", (width,)
    yield from _affine("ln_2", (width,))
    yield from _affine("mlp.c_fc", (hidden, width))
    yield from _affine("mlp.c_proj", (width, hidden))
    if scaled:
        yield "ls_2.gamma", (width,)


def _affine(name: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]
