"""Numbers that propagation's programs and what the host does between them agree on."""

TILE_SIDE = 256
"""Canvas pixels: the side of the tile that follows a thing."""

MASK_STRIDE = 2
"""Tile pixels per cell of a mask."""

PLANE_STRIDE = 4
"""Tile pixels per cell of what networks are told of masks."""

KEY_STRIDE = 16
"""Tile pixels per cell of keys, values and presence."""

KEY_CHANNELS = 64
VALUE_CHANNELS = 128

FUSION_PLANES = ("old", "new", "added", "removed", "distance", "other_distance")
"""What a fusion sees of a frame, on cells of ``PLANE_STRIDE``: its mask before and after, what the
correction added and took away where the affinity carries it, and the distance to the corrected
frame and to the one touched before, both as shares of the distance of these two."""

TOP_K = 20
"""Cells of the memory that a cell of a frame reads."""
