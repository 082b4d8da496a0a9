"""Towers of the size that users have."""

from distmerge.spec import Preprocess, TowerConfig

VIT_B_32 = TowerConfig(
    image_size=224,
    patch_size=32,
    width=768,
    layers=12,
    heads=12,
    output_dim=512,
    preprocess=Preprocess(
        size=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
)
"""CLIP ViT-B/32."""
