"""One recipe of a trained student: run, calibrate, gate, bundle, sign - and what its report says.

    what the files say (listen) -> which ways are offered (ways) -> bundle and report (write, figures)

Every choice is made on the split that is for it (`conversion/data/task.py`); the report split is only
measured. Figures come from the recipe's own files in the recipe's own runtime.
"""
