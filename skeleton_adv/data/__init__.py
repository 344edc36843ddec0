"""Datasets and their prepared clips, which serve every training, number of frames and victim."""
