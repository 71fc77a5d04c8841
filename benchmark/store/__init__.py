"""The output folder: records, outputs, journals, locks and logs, the truth about what is done.

Imports no torch.
"""
