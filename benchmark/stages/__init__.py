"""The stages of the pipeline, each a task: what it needs, what it stores.

pretrain or import weights → train → encode · draw targets → craft → hash → score. Crafting and
hashing never touch the queries' labels; only drawing targets and scoring do.
"""
