"""Recognisers of pyskl (Duan et al., PYSKL: Towards Good Practices for Skeleton Action Recognition, arXiv 2205.09443).

Networks, names of weights and preprocessing are those of kennymckormick/pyskl, commit 3f6795f.
"""
