"""System 2 distillation: a model learns to give at once the answers that it finds step by step.

Source: Yu, Xu, Weston, Kulikov, "Distilling System 2 into System 1", arXiv 2407.06023.
"""
