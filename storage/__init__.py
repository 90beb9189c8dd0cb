"""Everything that touches a disk: the dataset's manifest, features, indices, scores and result tables."""
